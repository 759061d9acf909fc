"""Rows that are too long lose tokens at the end of their longest fields."""

from bisect import bisect_right

from softprompt.errors import UserError


def shorten(parts: list[list[int]], shortenable: list[bool], limit: int) -> None:
    """Cut the longest fields to one length, so that all parts together fit; where that leaves room for some of them to
    keep a token more, the later ones do. So it would be if tokens fell one by one, each from what is then longest."""
    if sum(map(len, parts)) <= limit:
        return
    fields = [part for part, may in zip(parts, shortenable, strict=True) if may]
    room = limit - sum(len(part) for part, may in zip(parts, shortenable, strict=True) if not may)
    if room < 0:
        raise UserError(
            f"the prompt and the template's own text leave no room for the input: {limit} tokens are free; "
            "use a shorter prompt_length or a larger max_tokens"
        )

    def kept(length: int) -> int:
        return sum(min(len(field), length) for field in fields)

    length = bisect_right(range(max(map(len, fields)) + 1), room, key=kept) - 1
    more, cut = room - kept(length), [field for field in fields if len(field) > length]
    for number, field in enumerate(cut):
        del field[length + (number >= len(cut) - more) :]
