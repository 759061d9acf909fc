"""Template, tokenizer and row to tensors; tensors to answers."""
