"""The budget's format, version 1: every key, its shape, and what it means."""

from __future__ import annotations

from greengate.budget_file.format_model import LINES, MODEL, NAMES, PATHS, URIS
from greengate.budget_file.shape import (
    COUNTRY,
    DAYS,
    PERIOD,
    RELATIVE,
    REPOSITORY,
    REVISION,
    SELECTOR,
    AnyChange,
    ByMetric,
    Change,
    Date,
    Either,
    Flag,
    Items,
    Key,
    Keys,
    Number,
    Quantity,
    Text,
    Variants,
    Whole,
)
from greengate.metrics import METRICS

VERSION = 1

_SELECTOR = Text(SELECTOR, "write a model's name, or a pattern such as `vision-*`, without spaces")
_COUNTRY = Text(COUNTRY, "write the three letters of ISO 3166, such as `FRA`")
_SELECTORS = Items(_SELECTOR, "a selector", fewest=1)

_WORKLOAD = Keys(
    {
        "batch_size": Key(Whole(1, 1_000_000), "Items in one call; 1 if absent.", "1"),
        "threads": Key(Whole(1, 4096), "Threads the runtime may use; 1 if absent.", "1"),
        "seed": Key(Whole(0, 2**32 - 1), "Seed of made-up inputs; 0 if absent.", "0"),
    }
)

_TRADE_OFF = Keys(
    {
        "accuracy_gain": Key(
            Change("ratio", positive=True, below_100=True),
            "The gain in accuracy that pays, in percentage points.",
            "0.5 pp",
        ),
        "metric": Key(
            Text(choices=tuple(METRICS), code="unknown-metric"), "Another metric that pays instead.", "latency_p95"
        ),
        "min_decrease": Key(AnyChange(), "By how much that metric must fall.", "20%"),
        "min_increase": Key(AnyChange(grows=True), "By how much that metric must grow.", "20%"),
        "evaluated": Key(Flag(), "Whether greengate must have evaluated it itself; false if absent.", "true"),
        "approved": Key(Flag(), "Whether a person's approval is needed as well; false if absent.", "true"),
        "per_pp": Key(ByMetric("per_pp"), "How much wider each percentage point gained makes the limit.", "2%"),
        "max": Key(ByMetric("max"), "The wider limit that holds then.", "60 ms"),
        "min": Key(ByMetric("min"), "The wider limit that holds then.", "150/s"),
        "max_increase": Key(ByMetric("max_increase"), "The wider limit that holds then.", "15%"),
        "max_decrease": Key(ByMetric("max_decrease"), "The wider limit that holds then.", "10%"),
    },
    any_of=("accuracy_gain", "metric"),
    apart=(
        ("accuracy_gain", "metric"),
        ("accuracy_gain", "min_decrease"),
        ("accuracy_gain", "min_increase"),
        ("min_decrease", "min_increase"),
    ),
)

_SEVERITY = Text(choices=("fail", "warn", "off"))
_ON_INCONCLUSIVE = Text(choices=("fail", "warn"))

_DRIFT = Keys(
    {
        "limit": Key(ByMetric("max_drift"), "The most it may get worse.", "12%", required=True),
        "over": Key(Text(DAYS, "write a number of days, such as `90 d`"), "In how many days.", "90 d", required=True),
    }
)

_LIMITS = {
    "max": Key(ByMetric("max"), "No more than this, with a unit.", "45 ms"),
    "min": Key(ByMetric("min"), "No less than this, with a unit; for metrics where more is better.", "200/s"),
    "max_increase": Key(ByMetric("max_increase"), "No more than this above the baseline, in percent.", "5%"),
    "max_decrease": Key(
        ByMetric("max_decrease"),
        "No more than this below the baseline: percent, or pp of a ratio; where more is better.",
        "0.2 pp",
    ),
    "max_drift": Key(
        _DRIFT,
        "No more than this worse than the version accepted so long ago, however small each step was.",
        "{limit: 12%, over: 90 d}",
    ),
    "suspicious_decrease": Key(
        ByMetric("suspicious_decrease"), "A fall that is too good: somebody has to look at it.", "60%"
    ),
    "suspicious_increase": Key(
        ByMetric("suspicious_increase"), "A growth that is too good: somebody has to look at it.", "60%"
    ),
    "ignore_below": Key(ByMetric("ignore_below"), "A change smaller than this is no change.", "0.2 ms"),
}

_OVERRIDE = Keys(
    {
        "models": Key(_SELECTORS, "Names or patterns of the models it is for.", '["vision-*"]', required=True),
        **_LIMITS,
        "severity": Key(_SEVERITY, "What breaking the rule does for them.", "warn"),
        "on_inconclusive": Key(_ON_INCONCLUSIVE, "What a rule that cannot be decided does for them.", "warn"),
    },
    any_of=(*_LIMITS, "severity", "on_inconclusive"),
)

_RULE = Keys(
    {
        "metric": Key(
            Text(choices=tuple(METRICS), code="unknown-metric"), "What is limited.", "latency_p95", required=True
        ),
        "id": Key(NAMES, "What reports and waivers call the rule; its metric's name if absent.", "tail"),
        **_LIMITS,
        "unless": Key(_TRADE_OFF, "What a gain may pay for.", "{accuracy_gain: 0.5 pp, approved: true}"),
        "severity": Key(_SEVERITY, "What breaking the rule does; fail if absent.", "warn"),
        "on_inconclusive": Key(_ON_INCONCLUSIVE, "What it does where it cannot be decided; exit 3 if absent.", "warn"),
        "allow_estimated": Key(
            Flag(), "Whether a model of energy may stand in for a counter; false if absent.", "true"
        ),
        "models": Key(_SELECTORS, "Names or patterns of the models it binds; all if absent.", '["vision-*"]'),
        "overrides": Key(
            Items(_OVERRIDE, "the override"),
            "What is different for some models; later ones come after earlier ones.",
            '[{models: ["vision-*"], severity: warn}]',
        ),
    },
    any_of=("max", "min", "max_increase", "max_decrease", "max_drift", "suspicious_decrease", "suspicious_increase"),
    any_of_code="no-limit",
    needs=(("ignore_below", ("max_increase", "max_decrease", "max_drift")),),
    by_metric=True,
)

_WAIVER = Keys(
    {
        "rule": Key(NAMES, "The id of the rule.", "tail", required=True),
        "model": Key(NAMES, "The name of the model.", "sentiment", required=True),
        "ceiling": Key(Quantity(None), "The limit that holds instead, with a unit.", "60 ms", required=True),
        "reason": Key(Text(), "Why, for whoever reads the report.", '"larger head, ticket 812"', required=True),
        "approved_by": Key(LINES, "Who granted it.", "lead@example.org", required=True),
        "expires": Key(Date(), "The last day it holds.", "2027-01-31", required=True),
        "granted": Key(Date(), "The first day it holds; needed where `max_waiver_days` is set.", "2026-11-01"),
    }
)

_APPROVERS = Keys(
    {
        "who": Key(
            Items(LINES, "a person", fewest=1),
            "Who may approve: e-mail addresses or other names of signers, or patterns of them.",
            '["lead@example.org"]',
            required=True,
        ),
        "rules": Key(
            Items(_SELECTOR, "a selector", fewest=1), "Ids or patterns of the rules; all if absent.", '["energy"]'
        ),
        "needed": Key(Whole(1, 100), "How many of them must approve; 1 if absent.", "1"),
        "four_eyes": Key(Flag(), "Whether who wrote the change is none of them; false if absent.", "true"),
    }
)

_WORKER = Keys(
    {
        "timeout": Key(Quantity("time"), "Longest time of one job; 300 s if absent.", "300 s"),
        "memory": Key(Quantity("bytes"), "Most memory of one job; four fifths of the machine if absent.", "8 GB"),
        "gpu_memory": Key(Quantity("bytes"), "Most memory of one job on a GPU; all of it if absent.", "16 GB"),
    }
)

_ENERGY = Keys(
    {
        "power_log": Key(
            PATHS,
            "An external meter's log, lines `t,watts` (so its heading, if any); t in seconds since 1970.",
            "meter.csv",
        ),
        "clock_offset": Key(
            Quantity("time", signed=True), "What to add to the log's times; nothing if absent.", "200 ms"
        ),
        "calibration": Key(
            PATHS, "A calibration by which energy is estimated where nothing counts it.", "energy.calibration.json"
        ),
    },
    needs=(("clock_offset", ("power_log",)),),
)

_PUE = Key(Number(), "What the site draws for each watt of the machine; 1 if absent.", "1.2")

_CARBON = Variants(
    {
        "country": Keys(
            {
                "country": Key(_COUNTRY, "Whose mean intensity, of the table that is shipped.", "FRA", required=True),
                "pue": _PUE,
            }
        ),
        "intensity": Keys(
            {
                "intensity": Key(Quantity("intensity"), "Emissions of the grid.", "56 g/kWh", required=True),
                "source": Key(LINES, "Where the number comes from.", "RTE eCO2mix", required=True),
                "year": Key(Whole(1990, 2100), "The year it holds for.", "2025", required=True),
                "pue": _PUE,
            }
        ),
    }
)

_CARBON_BUDGET = Keys(
    {
        "max": Key(Quantity("mass"), "The most CO2e that trainings may emit in the period.", "50 kg", required=True),
        "period": Key(
            Text(PERIOD, 'write a quarter, a month or a year from 1990 to 2100: `2026-Q4`, `2026-11`, `"2026"`'),
            "The period, in UTC, by when trainings began.",
            "2026-Q4",
            required=True,
        ),
        "records": Key(
            Items(PATHS, "a path or a pattern", fewest=1),
            "Paths and patterns of records beside the models' own; `training/*.json` if absent.",
            '["training/**/*.json"]',
        ),
        "allow_estimated": Key(Flag(), "Whether estimates count as well; false if absent.", "true"),
    }
)

_REFERENCE = Keys(
    {
        "hardware": Key(
            LINES, "Pattern of the processor, the hardware's id, or the GPU that the model runs on.", '"NVIDIA H200*"'
        ),
        "runtime": Key(LINES, "Pattern of the runtime with its version.", '"onnxruntime 1.3*"'),
    },
    any_of=("hardware", "runtime"),
)

_FILE = Text(RELATIVE, "write a path from this file's folder, with `/` between its parts")
_REPOSITORY = Text(REPOSITORY, "write `https://host/name`, `ssh://host/name` or `git@host:name`, without a password")
_REVISION = Text(REVISION, "write the whole id of a commit, 40 hexadecimal digits: a branch or a tag can be moved")

_SOME_COMMIT = "3f786850e387550fdab836ed7e6dc881de23001b"

_EXTENDS = Either(
    _FILE,
    Keys(
        {
            "git": Key(_REPOSITORY, "The repository it is in.", "https://git.example.org/policies", required=True),
            "rev": Key(_REVISION, "The commit it is read from, its whole id.", _SOME_COMMIT, required=True),
            "path": Key(_FILE, "Its path in there, from the root.", "models.yaml", required=True),
        }
    ),
)

_MODELS = Items(MODEL, "the model", 1, "empty-budget")
_RULES = Items(_RULE, "the rule", 1, "empty-budget")
_VERSION = Whole(VERSION, VERSION, "unsupported-version")

#: The whole file.
BUDGET = Keys(
    {
        "version": Key(_VERSION, "Version of this format: 1.", "1", required=True),
        "models": Key(_MODELS, "The models it binds.", "[{path: model.onnx}]", required=True),
        "rules": Key(
            _RULES, "What is allowed; may be absent where `extends` has rules.", "[{metric: size, max: 120 MB}]"
        ),
        "extends": Key(_EXTENDS, "A policy file whose rules hold too, from this file's folder.", "policy/models.yaml"),
        "workload": Key(_WORKLOAD, "How every model is run.", "{batch_size: 1, threads: 1}"),
        "baseline": Key(URIS, "What the models are compared with; auto if absent.", "auto"),
        "waivers": Key(Items(_WAIVER, "the waiver"), "Dated, reasoned exceptions to rules.", "[]"),
        "on_inconclusive": Key(_ON_INCONCLUSIVE, "What every rule does where it cannot be decided.", "warn"),
        "approvers": Key(
            Items(_APPROVERS, "the line of approvers"),
            "Who may approve which rules; everybody whose approval can be proved, if absent.",
            '[{who: ["lead@example.org"]}]',
        ),
        "max_waiver_days": Key(Whole(1, 3660), "The longest a waiver may last; any time if absent.", "90"),
        "energy": Key(_ENERGY, "How energy is metered beside the machine's own counters.", "{power_log: meter.csv}"),
        "carbon": Key(_CARBON, "The intensity with which energy becomes emissions.", "{country: FRA}"),
        "carbon_budget": Key(_CARBON_BUDGET, "What trainings may emit in a period.", "{max: 50 kg, period: 2026-Q4}"),
        "reference": Key(_REFERENCE, "The machine that hardware-bound rules are judged on.", '{hardware: "AMD EPYC*"}'),
        "worker": Key(_WORKER, "What a measuring process may use.", "{timeout: 300 s, memory: 8 GB}"),
    },
    any_of=("rules", "extends"),
)
