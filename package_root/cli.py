"""The command line: ``pegel NAME`` starts the job of that name. Edge."""

import importlib
from collections.abc import Callable, Sequence

import typer

from pegel import __version__
from pegel.jobs.wiring.arguments import exit_with

JOBS = {
    "compare": "Say whether one set of rows has drifted from another: files or Delta tables.",
    "demo": "Run the whole loop on this machine and print what happens.",
    "stream": "Read events, write the tables, decide: the one streaming job.",
    "watch": "Recompute blocks and metrics from stored partials.",
    "deliver": "Send alerts to Azure Monitor and final metrics to MLflow.",
    "webhook": "Take the calls of Azure's action group and start retrainings.",
    "approve": "Let the proposed retraining of an incident start.",
    "silence": "Keep alerts of a model or a rule from being sent, for some time.",
    "ack": "Say that somebody looks after an incident; the dashboard and pegel explain show it.",
    "explain": "Tell an incident in words, from the tables.",
    "replay": "Decide an alert again, from the rows that it rests on.",
    "backtest": "Try another policy on history.",
    "retrain": "Train, evaluate, promote and prove a challenger for an incident.",
    "fairness": "Measure decisions by group, and try what mitigation would change.",
    "serve": "Serve /predict with the champion of the registry.",
    "build-baseline": "Register a model with its grid and baseline.",
    "dashboard": "Show health, incidents and drift as pages.",
    "model-card": "Make the model card of a version.",
    "verify": "Recount the stream's tables from their rows, and say where they differ.",
    "maintain": "Put small files of the tables together, and let go of old ones.",
    "erase": "Erase a person's events, and prove it.",
    "audit": "Verify the audit chains: who decided what, unchanged since.",
    "dead-letters": "List, show and requeue refused events.",
    "eventhubs": "Run a local Event Hubs that speaks AMQP 1.0.",
}

app = typer.Typer(
    help="Pegel watches language and machine-learning models in production.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pegel {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    del version


def _command(name: str) -> Callable[[typer.Context], None]:
    def run(context: typer.Context) -> None:
        job = importlib.import_module(f"pegel.jobs.{name.replace('-', '_')}")
        arguments: Sequence[str] = context.args
        exit_with(lambda: job.main(arguments))

    return run


for _name, _help in JOBS.items():
    # The job's own parser knows its arguments, --help included.
    app.command(
        _name,
        help=_help,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(_command(_name))


def main() -> None:
    """The entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
