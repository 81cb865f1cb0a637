"""DistilBERT with a head of five classes; LoRA on all-linear.

`modules_to_save` means names that end with `classifier`, so PEFT saves `pre_classifier` in full as well; all-linear
would put LoRA on it at the same time, which is an error, hence `exclude_modules`.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden_encoder import NAMES, classes_task, distilbert_config, named
from golden_task import export_task
from transformers import DistilBertForSequenceClassification

TASK = classes_task(
    DistilBertForSequenceClassification,
    distilbert_config(**named(NAMES)),
    adapter={"target_modules": "all-linear", "exclude_modules": ["pre_classifier"]},
)


def export(folder):
    export_task(TASK, folder)


if __name__ == "__main__":
    export(HERE)
