"""What nobody is to be told at the moment, and why. Pure."""

from pegel.alerts.delivery.sink import Alert


def inhibited(alert: Alert) -> str | None:
    """Why an alert is withheld: it says what it saw while the pipeline was sick. None if it is not.

    Example:
        >>> inhibited({"inhibited_by": "4f0c"})
        'the pipeline was sick, see incident 4f0c'
        >>> inhibited({"alert_id": "written by an older version"})
    """
    by = alert.get("inhibited_by")
    return None if by is None else f"the pipeline was sick, see incident {by}"
