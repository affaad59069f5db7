"""Writes tests/fixtures/minilm.json: what transformers computes with the real all-MiniLM-L6-v2.

    python tools/minilm_embeddings.py MODEL_DIR

For each text its token ids, and its embedding as the model's own pooling says: the mean of the last hidden states over
all tokens, divided by its length. The texts are embedded in one padded batch.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModel, AutoTokenizer

FIXTURE = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "minilm.json"
TEXTS = [
    "Domain: DNA Promoter\nSequence: TATAAAAGGCGC\nAnnotation:",
    "A promoter is where transcription begins.",
    "GATTACA",
]


def main():
    torch.set_num_threads(1)
    folder = sys.argv[1]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    means = (states * mask).sum(1) / mask.sum(1)
    embeddings = torch.nn.functional.normalize(means, dim=1)
    ids = [row[: sum(mask)].tolist() for row, mask in zip(batch["input_ids"], batch["attention_mask"])]
    rows = zip(TEXTS, ids, embeddings.tolist())
    cases = [{"text": text, "ids": row, "embedding": [round(x, 7) for x in values]} for text, row, values in rows]
    FIXTURE.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
