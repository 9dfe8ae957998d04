/* Stands in for libnvidia-ml.so.1: the functions that nvidia-ml-py calls, on a board whose truth is known.
 *
 * Knobs, read from the environment at every call:
 *   FAKE_NVML_PERIOD_MS   how often the energy counter changes (100)
 *   FAKE_NVML_WATTS       power while on (200)
 *   FAKE_NVML_WAVE_MS     period of a square wave between FAKE_NVML_WATTS and a quarter of it (0: constant)
 *   FAKE_NVML_DUTY        share of each period that the sensor really looks at (1)
 *   FAKE_NVML_GAIN        what the power sensor says of the true power (1)
 *   FAKE_NVML_FREEZE, FAKE_NVML_BACKWARDS, FAKE_NVML_NO_COUNTER, FAKE_NVML_NO_INSTANT, FAKE_NVML_NO_POWER, FAKE_NVML_MIG
 *   FAKE_NVML_PROCESSES   processes that compute on the board (0)
 *   FAKE_NVML_THROTTLE    the bits of slowed clocks (0)
 *   FAKE_NVML_DEGREES     temperature (60)
 *   FAKE_NVML_DEVICES     boards (1)
 *   FAKE_NVML_SHUT        whether they cannot be opened
 *   FAKE_NVML_MEAN_MS     what the averaged power is a mean over, before it is asked (1)
 *   FAKE_NVML             whether there is a driver at all: without it, nvmlInit says that the library is not found
 *   FAKE_NVML_INIT        what nvmlInit returns (0)
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SUCCESS = 0, INVALID = 2, NOT_SUPPORTED = 3, SMALL = 7 };

static double number(const char *name, double otherwise) {
    const char *text = getenv(name);
    return text && *text ? atof(text) : otherwise;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

/* Joules from 0 to t: of a square wave that is high in the first half of each period. */
static double formula(double t, double high, double wave) {
    if (wave <= 0) return high * t;
    double low = high / 4, whole = floor(t / wave), rest = t - whole * wave, half = wave / 2;
    return whole * half * (high + low) + (rest < half ? rest * high : half * high + (rest - half) * low);
}

/* The same, when watts are changed meanwhile: what was drawn before stays drawn. */
static double joules(double t) {
    static double high = -1, wave = 0, before = 0;
    double watts = number("FAKE_NVML_WATTS", 200), period = number("FAKE_NVML_WAVE_MS", 0) * 1e-3;
    if (high >= 0 && (watts != high || period != wave)) {
        double change = now();
        before += formula(change, high, wave) - formula(change, watts, period);
    }
    high = watts;
    wave = period;
    return before + formula(t, watts, period);
}

/* What the counter shows: the truth at its last tick, or a sensor's view that looks at a share of each period. */
static double counted(double t) {
    static double origin = -1;
    if (origin < 0) origin = floor(t);
    double period = number("FAKE_NVML_PERIOD_MS", 100) * 1e-3, duty = number("FAKE_NVML_DUTY", 1);
    double tick = floor((t - origin) / period);
    if (getenv("FAKE_NVML_FREEZE")) return 1000;
    if (getenv("FAKE_NVML_BACKWARDS")) return 1e6 - tick * period * number("FAKE_NVML_WATTS", 200);
    if (duty >= 1) {
        static double first = -1, shown = 0;
        if (first < 0) first = joules(origin);
        double drawn = joules(origin + tick * period) - first;
        return shown = drawn > shown ? drawn : shown;
    }
    double sum = 0;
    for (double k = 0; k < tick; k++) {
        double from = origin + k * period;
        sum += (joules(from + duty * period) - joules(from)) / duty;
    }
    return sum;
}

static double mean(double seconds) {
    double t = now();
    return (joules(t) - joules(t - seconds)) / seconds * number("FAKE_NVML_GAIN", 1);
}

static double watts(void) { return mean(1e-3); }

int nvmlInit_v2(void) { return getenv("FAKE_NVML") ? (int)number("FAKE_NVML_INIT", 0) : 12; }
int nvmlInitWithFlags(unsigned flags) { (void)flags; return nvmlInit_v2(); }
int nvmlShutdown(void) { return SUCCESS; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { snprintf(text, size, "none, a stand-in"); return SUCCESS; }
const char *nvmlErrorString(int code) { return code == NOT_SUPPORTED ? "Not Supported" : "Some Error"; }

int nvmlDeviceGetCount_v2(unsigned *count) { *count = (unsigned)number("FAKE_NVML_DEVICES", 1); return SUCCESS; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    *device = (void *)(uintptr_t)(index + 1);
    return getenv("FAKE_NVML_SHUT") ? 15 : SUCCESS;
}
int nvmlDeviceGetUUID(void *device, char *text, unsigned size) {
    snprintf(text, size, "GPU-fake-%u", (unsigned)(uintptr_t)device);
    return SUCCESS;
}
int nvmlDeviceGetName(void *device, char *text, unsigned size) { (void)device; snprintf(text, size, "Fake H100"); return SUCCESS; }
int nvmlDeviceGetIndex(void *device, unsigned *index) { *index = (unsigned)(uintptr_t)device - 1; return SUCCESS; }
int nvmlDeviceGetArchitecture(void *device, unsigned *arch) { (void)device; *arch = 9; return SUCCESS; }
int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending) {
    (void)device;
    *current = *pending = getenv("FAKE_NVML_MIG") ? 1 : 0;
    return SUCCESS;
}
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules) {
    (void)device;
    if (getenv("FAKE_NVML_NO_COUNTER")) return NOT_SUPPORTED;
    *millijoules = (unsigned long long)(counted(now()) * 1e3);
    return SUCCESS;
}
int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts) {
    (void)device;
    if (getenv("FAKE_NVML_NO_POWER")) return NOT_SUPPORTED;
    *milliwatts = (unsigned)(mean(number("FAKE_NVML_MEAN_MS", 1) * 1e-3) * 1e3);
    return SUCCESS;
}
int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *milliwatts) { (void)device; *milliwatts = 700000; return SUCCESS; }
int nvmlDeviceGetPowerManagementLimit(void *device, unsigned *milliwatts) { (void)device; *milliwatts = 700000; return SUCCESS; }
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *degrees) {
    (void)device; (void)sensor;
    *degrees = (unsigned)number("FAKE_NVML_DEGREES", 60);
    return SUCCESS;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *bits) {
    (void)device;
    *bits = (unsigned long long)number("FAKE_NVML_THROTTLE", 0);
    return SUCCESS;
}

struct process { unsigned pid; unsigned long long memory; unsigned gpu_instance, compute_instance; };

static int processes(unsigned *count, struct process *list) {
    unsigned there = (unsigned)number("FAKE_NVML_PROCESSES", 0), room = *count;
    *count = there;
    if (!there) return SUCCESS;
    if (room < there || !list) return SMALL;
    for (unsigned i = 0; i < there; i++) list[i] = (struct process){4000 + i, 1 << 20, 0xffffffff, 0xffffffff};
    return SUCCESS;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, struct process *list) {
    (void)device;
    return processes(count, list);
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *device, unsigned *count, struct process *list) {
    (void)device; (void)list;
    *count = 0;
    return SUCCESS;
}

struct memory { unsigned long long total, free, used; };
int nvmlDeviceGetMemoryInfo(void *device, struct memory *m) { (void)device; *m = (struct memory){80ull << 30, 70ull << 30, 10ull << 30}; return SUCCESS; }
struct utilization { unsigned gpu, memory; };
int nvmlDeviceGetUtilizationRates(void *device, struct utilization *u) { (void)device; *u = (struct utilization){99, 50}; return SUCCESS; }
int nvmlDeviceGetComputeMode(void *device, int *mode) { (void)device; *mode = 0; return SUCCESS; }

struct field {
    uint32_t id, scope;
    int64_t timestamp, latency;
    int type, result;
    union { double d; int32_t i; uint32_t u; uint64_t ull; } value;
};
int nvmlDeviceGetFieldValues(void *device, int count, struct field *fields) {
    (void)device;
    for (int i = 0; i < count; i++) {
        int known = fields[i].id == 186 && !getenv("FAKE_NVML_NO_INSTANT");
        fields[i].result = known ? SUCCESS : NOT_SUPPORTED;
        fields[i].type = 1;
        fields[i].value.ull = 0;
        if (known) fields[i].value.u = (uint32_t)(watts() * 1e3);
    }
    return SUCCESS;
}
