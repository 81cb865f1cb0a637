"""Greedy and beam search by `generate`, with the distance by which each decision was taken."""

import json
import math
import re

import torch
from golden import load_model

NEVER = -1e8  # scores below it stand for what transformers has ruled out


class Leads:
    """Watches the decisions of one beam search; `smallest` is the narrowest.

    Decided at every step are which candidates are among the first `num_beams`, which of the unfinished ones go on,
    the order of the finished ones, and whether a running one can still improve on them.
    """

    def __init__(self, model, num_beams, eos_ids):
        self.smallest = math.inf
        self.num_beams = num_beams
        self.eos_ids = eos_ids
        for name in ("_get_top_k_continuations", "_update_finished_beams", "_check_early_stop_heuristic"):
            setattr(model, name, self.watch(getattr(model, name), getattr(self, name)))

    @staticmethod
    def watch(method, look):
        def call(**arguments):
            result = method(**arguments)
            look(arguments, result)
            return result

        return call

    def gap(self, scores, place):
        """The distance between the scores at `place` - 1 and `place` of each row, sorted downwards."""
        scores = scores.sort(dim=-1, descending=True).values
        if place < scores.shape[-1]:
            for upper, lower in zip(scores[:, place - 1].tolist(), scores[:, place].tolist()):
                if upper > NEVER:
                    self.smallest = min(self.smallest, upper - lower)

    def _get_top_k_continuations(self, arguments, _result):
        scores = arguments["accumulated_log_probs"]
        self.gap(scores, self.num_beams)
        tokens = torch.arange(scores.shape[-1]) % (scores.shape[-1] // self.num_beams)
        self.gap(scores.masked_fill(torch.isin(tokens, torch.tensor(self.eos_ids)), -math.inf), self.num_beams)

    def _update_finished_beams(self, arguments, result):
        for place in range(1, self.num_beams):
            self.gap(result[1], place)

    def _check_early_stop_heuristic(self, arguments, _result):
        last = arguments["max_length"] if arguments["early_stopping"] == "never" else arguments["cur_len"]
        length = last - arguments["decoder_prompt_len"]
        if arguments["early_stopping"] == "never" and arguments["length_penalty"] <= 0:
            length = arguments["cur_len"] - arguments["decoder_prompt_len"]
        best = arguments["running_beam_scores"][:, 0] / length ** arguments["length_penalty"]
        finished = arguments["is_sent_finished"].all(dim=1) & arguments["is_early_stop_heuristic_unsatisfied"][:, 0]
        distance = (best - arguments["beam_scores"].min(dim=1).values).abs()
        for row in finished.nonzero().flatten().tolist():
            self.smallest = min(self.smallest, distance[row].item())


def until_eos(ids, eos_ids):
    """`ids` up to and with the first end token; what follows is filler."""
    for place, token in enumerate(ids):
        if token in eos_ids:
            return ids[: place + 1]
    return ids


def generated(folder, model_class, inputs, settings):
    """What `generate` returns for a batch, as it goes into `expect.json`."""
    model = load_model(folder, model_class)
    eos = settings.get("eos_token_id", model.config.eos_token_id)
    eos_ids = eos if isinstance(eos, list) else [eos]
    num_beams = settings["num_beams"]
    leads = Leads(model, num_beams, eos_ids) if num_beams > 1 else None
    out = model.generate(**inputs, **settings, do_sample=False, output_scores=True, return_dict_in_generate=True)
    start = 1 if model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
    ids = [row[start:] for row in out.sequences.tolist()]
    if leads is None:
        best = torch.stack(out.scores).topk(2).values
        ends = [len(until_eos(row, eos_ids)) for row in ids]
        lead = min((best[:end, row, 0] - best[:end, row, 1]).min().item() for row, end in enumerate(ends))
    else:
        lead = leads.smallest
    return {
        "settings": settings,
        "sequences": out.sequences.tolist(),
        "generated": [until_eos(row, eos_ids) for row in ids],
        "sequences_scores": None if leads is None else out.sequences_scores.tolist(),
        "smallest_lead": lead if math.isfinite(lead) else None,
    }


def lists(inputs):
    return {name: value.tolist() for name, value in inputs.items()}


def write_compact(path, value):
    """JSON with a list of numbers on one line."""
    text = json.dumps(value, indent=2)
    text = re.sub(r"\[\s+([^][{}\"]+?)\s+\]", lambda found: "[" + " ".join(found.group(1).split()) + "]", text)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
