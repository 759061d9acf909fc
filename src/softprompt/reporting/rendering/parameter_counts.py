"""How many parameters a method trains and keeps: of this run, as closed forms, and as sources give them beside ours.

Letters: P prompt vectors, D word-embedding size, H hidden size, L layers, M middle size of an MLP, T tasks.
"""

from dataclasses import dataclass

from softprompt.reporting.analysis.report import Report
from softprompt.reporting.rendering.markdown import table
from softprompt.reporting.rendering.scoreboard import state_of


def prompt_vectors(length: int, size: int) -> int:
    """P x D: prompt tuning, and whatever is kept of P-tuning."""
    return length * size


def lstm_encoder(length: int, size: int) -> int:
    """P-tuning on LAMA: vectors, LSTM (2 layers, both directions, D/2 each), two linear layers (THUDM/P-tuning,
    LAMA/p_tuning/prompt_encoder.py)."""
    return length * size + 14 * size**2 + 18 * size


def wide_lstm_encoder(length: int, size: int) -> int:
    """P-tuning on SuperGLUE: LSTM of size D each direction, linear layers 2D -> D -> D (THUDM/P-tuning,
    PT-Fewshot/pet/wrapper.py)."""
    return length * size + 43 * size**2 + 34 * size


def mlp_encoder(length: int, size: int) -> int:
    """Vectors and two linear layers D -> D -> D."""
    return length * size + 2 * (size**2 + size)


def peft_mlp_encoder(length: int, size: int, middle: int) -> int:
    """PEFT's P-tuning: vectors and three linear layers D -> M -> M -> D (peft/tuners/p_tuning/model.py)."""
    return length * size + (size * middle + middle) + (middle**2 + middle) + (middle * size + size)


def prefix(length: int, layers: int, hidden: int, *, matrices: int = 2) -> int:
    """P x L x H for keys and as much for values; `matrices=1` counts one vector a layer."""
    return matrices * length * layers * hidden


def prefix_mlp(length: int, layers: int, hidden: int, middle: int) -> int:
    """Prefix tuning's reparametrisation: P x H vectors, H -> M, M -> 2LH (XiangLi1999/PrefixTuning)."""
    return length * hidden + (hidden * middle + middle) + (middle * 2 * layers * hidden + 2 * layers * hidden)


def keyed_pool(prompts: int, length: int, size: int) -> int:
    """Learning to prompt: prompts of P vectors and a key each (google-research/l2p, models/prompt.py)."""
    return prompts * (length + 1) * size


def multitask_prompt(length: int, size: int, tasks: int, rank: int = 1) -> int:
    """MPT: a shared P x D prompt, and for each task a P x r and an r x D matrix (peft, multitask_prompt_tuning)."""
    return length * size + tasks * rank * (length + size)


def linear_head(hidden: int, classes: int) -> int:
    """Weights and biases."""
    return classes * (hidden + 1)


@dataclass(frozen=True)
class SourceCount:
    """A count as a source gives it (None: it gives a formula only), the same by its convention, and what this suite
    trains and keeps for the same method, backbone and length."""

    source: str
    method: str
    backbone: str
    convention: str
    published: int | None
    by_convention: int
    trained: int
    kept: int


def source_counts() -> list[SourceCount]:
    """In the order of the page: prompts at the input, at every layer, of many tasks."""
    return [*_at_the_input(), *_at_every_layer(), *_shared()]


def _at_the_input() -> list[SourceCount]:
    bert, lstm, vectors = "BERT-base (D 768)", lstm_encoder(9, 768), prompt_vectors(9, 768)
    wide = wide_lstm_encoder(1, 128)
    alone, five = prompt_vectors(20, 768), prompt_vectors(100, 768)
    return [
        SourceCount("worked example", "P-tuning, 20 vectors", bert, "P x D, the encoder left out", 15_360,
                    alone, lstm_encoder(20, 768), alone),
        SourceCount("P-tuning, LAMA code", "P-tuning, LSTM, 9 vectors", bert, "all that trains", 8_278_272,
                    lstm, lstm, vectors),
        SourceCount("P-tuning, LAMA code", "P-tuning, LSTM, 9 vectors", bert, "P x D, what answering needs", 6_912,
                    vectors, lstm, vectors),
        SourceCount("P-tuning, PT-Fewshot code", "P-tuning, wide LSTM, 1 vector", "ALBERT (D 128)",
                    "all that trains but the backbone", 708_992, wide, wide, prompt_vectors(1, 128)),
        SourceCount("PEFT documentation", "P-tuning, MLP, 20 vectors", "bloom-560m (D 1,024)",
                    "all that trains; three layers, M 128, ours two of D", 300_288,
                    peft_mlp_encoder(20, 1024, 128), mlp_encoder(20, 1024), prompt_vectors(20, 1024)),
        SourceCount("Lester et al. 2021", "prompt tuning, 100 vectors", "T5-base (D 768)", "P x D", 76_800,
                    five, five, five),
    ]  # fmt: skip


def _at_every_layer() -> list[SourceCount]:
    bert, distilbert = "BERT-base (H 768, L 12)", "DistilBERT (H 768, L 6)"
    small, base, large = prefix(10, 6, 768), prefix(20, 12, 768), prefix(20, 24, 1024)
    made, head = prefix_mlp(10, 6, 768, 512), linear_head(768, 2)
    return [
        SourceCount("worked example", "prefix tuning, 10 vectors", distilbert, "P x L x H, keys and values as one",
                    46_080, prefix(10, 6, 768, matrices=1), made, small),
        SourceCount("worked example", "prefix tuning, 10 vectors", distilbert, "2 x P x L x H", 92_160,
                    small, made, small),
        SourceCount("PEFT documentation", "prefix tuning, 20 vectors", bert, "2 x P x L x H and a head of two classes",
                    370_178, base + head, prefix_mlp(20, 12, 768, 512) + head, base + head),
        SourceCount("worked example", "P-tuning v2, 20 vectors", bert, "P x L x H, keys and values as one", 184_320,
                    prefix(20, 12, 768, matrices=1), base, base),
        SourceCount("P-tuning v2, code", "P-tuning v2, 20 vectors", "BERT-large (H 1,024, L 24)",
                    "2 x P x L x H, the head left out", 983_040, large, large, large),
    ]  # fmt: skip


def _shared() -> list[SourceCount]:
    pool, tasks = keyed_pool(10, 20, 768), multitask_prompt(100, 768, 6)
    return [
        SourceCount("worked example", "pool of 10 prompts of 20 vectors", "BERT-base (D 768)", "prompts and keys",
                    161_280, pool, pool, pool),
        SourceCount("PEFT code", "MPT, 100 vectors, 6 tasks, rank 1", "T5-base (D 768)",
                    "P x D + T x (P + D); one task's prompt is kept", None, tasks, tasks, prompt_vectors(100, 768)),
    ]  # fmt: skip


def run_parameters(report: Report) -> str:
    """A row a backbone and method with a finished cell; a range where cells differ, by their heads or lengths."""
    rows = []
    for backbone in report.context.backbones:
        for method in report.context.rows():
            cells = [cell for cell in report.collected.cells_of(backbone, method) if cell.status == "done"]
            if cells:
                counts = [
                    _range([cell.parameters_trained for cell in cells]),
                    _range([cell.parameters_kept for cell in cells]),
                ]
                rows.append([backbone, f"`{method}`", state_of(report, method), *counts])
    return table(["backbone", "method", "backbone weights", "trained", "kept"], rows, left=3)


def source_parameters() -> str:
    """A row a count that a source gives."""
    rows = [
        [
            count.source,
            count.method,
            count.backbone,
            count.convention,
            f"{count.by_convention:,}",
            f"{count.trained:,}",
            f"{count.kept:,}",
        ]
        for count in source_counts()
    ]
    header = ["source", "method", "backbone", "its convention", "its count", "trained", "kept"]
    return table(header, rows, left=4)


def _range(counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
