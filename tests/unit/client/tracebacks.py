"""What an error carries along."""


def carried(error: BaseException) -> str:
    """All variables on the way to an error, as programs that report errors send them along."""
    frames, here = [], error.__traceback__
    while here is not None:
        frames.append(
            {name: value for name, value in here.tb_frame.f_locals.items() if name not in ("server", "made", "proxy")}
        )
        here = here.tb_next
    return repr(frames[1:])
