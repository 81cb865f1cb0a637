"""LLaMA with a tied head and three tokens more than its base, and an adapter saved after that."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden import make_batch
from golden_resize import export_resize
from golden_task import Task
from golden_variants import small_llama
from transformers import LlamaForCausalLM

CONFIG = small_llama(tie_word_embeddings=True)
IDS, _ = make_batch(CONFIG, 10)
for row, place in enumerate((2, 4, 5)):
    IDS[:, place] = CONFIG.vocab_size + row

TASK = Task(
    LlamaForCausalLM,
    CONFIG,
    {"input_ids": IDS},
    objective="causal_lm",
    task_type="CAUSAL_LM",
    adapter={"target_modules": ["q_proj", "v_proj"]},
)


def export(folder):
    export_resize(TASK, folder)


if __name__ == "__main__":
    export(HERE)
