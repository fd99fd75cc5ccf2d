"""The query language: one grammar, a parser to plain objects, an evaluator over column frames."""
