"""The Azure clients of the extra `azure`, imported only where the settings ask for them."""

from azure.core.exceptions import AzureError
from azure.identity import DefaultAzureCredential
from azure.keyvault.secrets import SecretClient

__all__ = ["AzureError", "DefaultAzureCredential", "SecretClient"]
