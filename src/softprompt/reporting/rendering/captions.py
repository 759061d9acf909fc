"""The words around the tables of scores: what a suite is called, what ± covers, what the mark means."""

from softprompt.reporting.analysis.intervals import FEWEST_REPLICATES
from softprompt.reporting.analysis.report import Report
from softprompt.reporting.analysis.two_way import ALPHA, CONFIDENCE
from softprompt.reporting.rendering.lama_tables import probe_sentence
from softprompt.reporting.rendering.markdown import MAY_BE_BEST, counted, joined, whole_percent
from softprompt.reporting.rendering.undertuning import marks_in_words
from softprompt.tasks.load import LAMA, OFFICIAL_RELATIONS, nlu_names

TITLES = {"lama": "LAMA", "superglue": "SuperGLUE", "fewglue": "FewGLUE", "glue": "GLUE", "extra": "Example set"}
OFFICIAL_TASKS = {
    "lama": OFFICIAL_RELATIONS, "superglue": 8, "fewglue": 8, "glue": 9, "extra": len(nlu_names("extra")),
}  # fmt: skip
TASK_NAMES = {
    "boolq": "BoolQ", "cb": "CB", "copa": "COPA", "multirc": "MultiRC", "record": "ReCoRD", "rte": "RTE", "wic": "WiC",
    "wsc": "WSC", "mrpc": "MRPC", "sst2": "SST-2", "ner": "NER", "qa": "QA", "sentiment": "sentiment",
}  # fmt: skip


def suite_title(report: Report, suite: str) -> str:
    """The suite's name where all its official tasks are there, else which of them are: `BoolQ of SuperGLUE`."""
    tasks = report.collected.manifests[suite].headline_tasks
    if len(tasks) >= OFFICIAL_TASKS[suite]:
        return TITLES[suite]
    if suite == LAMA:
        return f"{counted(len(tasks), 'relation')} of {TITLES[suite]}"
    return f"{joined([TASK_NAMES.get(task, task) for task in tasks])} of {TITLES[suite]}"


def headline_caption(report: Report, suite: str) -> str:
    """What a table of means over tasks shows."""
    tasks = report.collected.manifests[suite].headline_tasks
    if suite != LAMA:
        over = f", mean over {len(tasks)} tasks" if len(tasks) > 1 else ""
        return f"Score in % (the mean of the metrics that form a task's score){over}."
    what = f"P@1 in %, macro over {counted(len(tasks), 'relation')}" if len(tasks) > 1 else "P@1 in %"
    return f"{what} ({probe_sentence(report)})." if probe_sentence(report) else f"{what}."


def clusters_in_words(report: Report) -> str:
    """What the intervals of suites are over, beside replicates."""
    relations = report.collected.manifests[LAMA].headline_tasks if LAMA in report.context.suites else ()
    examples = "examples, those of a passage together"
    return f"relations of LAMA or {examples}" if len(relations) > 1 else examples


def interval_words(report: Report, clusters: str) -> str:
    """What ± is half of, and what it leaves out."""
    replicates, least = len(report.context.seeds), FEWEST_REPLICATES
    over = f"{replicates} replicates and {clusters}; over the latter alone of methods that draw nothing."
    if replicates < least:
        over = f"{clusters}; none beside methods that draw, whose scatter takes {least} replicates to show."
    return f"±: half of the {whole_percent(CONFIDENCE)} interval over {over}{tuning_words(report)}"


def tuning_words(report: Report) -> str:
    """A warning where replicates share a study."""
    if report.context.scheme == "replicate":
        return ""
    return " **It leaves tuning out: one study chose the settings of all replicates.**"


def mark_words(report: Report) -> str:
    """What the marks in a table say."""
    words = (
        f"{MAY_BE_BEST}: may be the best of its column, frozen and tuned methods apart: no other one beats it "
        f"at {whole_percent(ALPHA)} for all pairs together."
    )
    if report.undertuned["undertuned"].any():
        words += f" {marks_in_words()} Where that is most of a column, nothing in it is called the best."
    return words
