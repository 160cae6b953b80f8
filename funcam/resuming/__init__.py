"""What is done and what is not: one rule for `explain`, `compare`, `evaluate` and `batch`. Importing it needs no torch.

A result is done if it answers the same question about the same content and is as it was written:

- the question (`question`): what was asked, the networks with their values and their code (`identity`, `held`,
  `sources`), the kind of device and the versions of what computes;
- the content (`content`): the bytes of an image's file, and what its truth says; a name or a date says nothing;
- as it was written: records hold the letters of their pictures, the journal's lines a seal, a store's shards their
  question.

What is not done, or is so no longer, is made anew. What answers another question is neither mixed in nor replaced:
results keep their names, and others beside them are called otherwise (`places`); a store, which is one question's whole
folder, is refused. How that is said is in `words`.

Where it is kept: `funcam.pipeline.earlier` (a record beside an image's pictures), `funcam.comparison.journal` (a line
an image), `funcam.store` (rows of many).
"""
