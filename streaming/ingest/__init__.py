"""From events to tables: parse, check, mask, dedupe, join labels, count, store."""
