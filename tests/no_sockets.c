/* Runs a command in which no process can open a socket, and tells every process that tried.
 *
 *   no_sockets FILE COMMAND [ARGUMENT...]
 *
 * The kernel hands every socket() and socketpair() of the command and of all that it starts, whatever language they are
 * written in, to this process, which writes a line to FILE (family, pid and name of the process) and answers EPERM.
 * Exits as the command does; 97 to 99: it could not be watched.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int watched(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_socket, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_socketpair, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

static void answer(int listener, FILE *told) {
    struct seccomp_notif asked;
    memset(&asked, 0, sizeof asked);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked)) return;
    char path[64], name[64] = "?";
    snprintf(path, sizeof path, "/proc/%u/comm", asked.pid);
    FILE *file = fopen(path, "r");
    if (file) {
        if (fgets(name, sizeof name, file)) name[strcspn(name, "\n")] = 0;
        fclose(file);
    }
    fprintf(told, "family %d pid %u %s\n", (int)asked.data.args[0], asked.pid, name);
    fflush(told);
    struct seccomp_notif_resp said = {.id = asked.id, .error = -EPERM};
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &said);
}

int main(int count, char **words) {
    int ready[2], listener = -1, status = 0;
    FILE *told = count > 2 ? fopen(words[1], "we") : NULL;
    if (!told || pipe(ready)) return perror("no_sockets"), 99;
    /* Both share the table of open files until the command begins, so that the listener is the parent's as well. */
    pid_t child = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
    if (child < 0) return perror("no_sockets"), 99;
    if (!child) {
        listener = watched();
        if (write(ready[1], &listener, sizeof listener) != sizeof listener || listener < 0) _exit(98);
        unshare(CLONE_FILES);
        close(ready[0]);
        close(ready[1]);
        execvp(words[2], words + 2);
        perror(words[2]);
        _exit(97);
    }
    if (read(ready[0], &listener, sizeof listener) != sizeof listener || listener < 0) return 98;
    struct pollfd waiting = {.fd = listener, .events = POLLIN};
    while (waitpid(child, &status, WNOHANG) == 0)
        if (poll(&waiting, 1, 50) > 0 && waiting.revents & POLLIN) answer(listener, told);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
