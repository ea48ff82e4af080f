"""From partials to verdicts and metrics: blocks decide, final windows report and confirm."""
