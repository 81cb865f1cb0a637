"""Writes pandas.parquet with pandas' defaults (snappy, dictionaries, nullable columns).

Run with pandas 3.1.1 and pyarrow 26.0.1: python export.py
"""

from pathlib import Path

import pandas as pd

rows = pd.DataFrame(
    {
        "text": ["Zażółć gęślą jaźń", "", "line\nbreak"],
        "category": pd.Categorical(["pos", "neg", "neg"]),
        "count": [1, 2, 3],
        "names": [["a", "b"], [], ["b"]],
        "day": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"]),
        "messages": [
            [{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": f"a{i}"}] for i in range(3)
        ],
    }
)
rows.to_parquet(Path(__file__).with_name("pandas.parquet"), index=False)
