"""An Azure OpenAI resource on loopback: the v1 surface with its errors, and a model that learns from its prompt."""

from pegel.local.openai.faults import Fault
from pegel.local.openai.local_openai import Deployment, LocalOpenAi

__all__ = ["Deployment", "Fault", "LocalOpenAi"]
