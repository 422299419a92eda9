"""Shapes of exported rows, one module a format.

Each module has `NAME`, `HELP` (one sentence), `UNIT` (what one row is of), `SCHEMA` (the columns,
as Arrow types) and `rows(example)`, which yields the rows of one `Example` as JSON objects.

trl_preference, trl_implicit, trl_unpaired, trl_prompt_only, trl_prompt_completion, ranking,
hh_rlhf, openai_preference, ultrafeedback, open_assistant, summarize_from_feedback, argilla,
label_studio.
"""
