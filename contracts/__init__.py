"""The contracts as Python sees them: artifacts, bindings, deployments. See the README beside this file."""

from contracts.artifact import Artifact, creation_code, load_artifact, verify_runtime_code
from contracts.create2 import DEPLOYMENT_PROXY, PROXY_RUNTIME_CODE, DeploymentCall, create2_address, deployment_call
from contracts.deployments import Deployment, DeploymentFile, known_deployments, read_deployments, write_deployments
from contracts.errors import (
    ArtifactError,
    CodeMismatch,
    ContractError,
    ContractsError,
    DeploymentError,
    MalformedData,
    MalformedLog,
    UnknownEvent,
)

__all__ = [
    "DEPLOYMENT_PROXY",
    "PROXY_RUNTIME_CODE",
    "Artifact",
    "ArtifactError",
    "CodeMismatch",
    "ContractError",
    "ContractsError",
    "Deployment",
    "DeploymentCall",
    "DeploymentError",
    "DeploymentFile",
    "MalformedData",
    "MalformedLog",
    "UnknownEvent",
    "create2_address",
    "creation_code",
    "deployment_call",
    "known_deployments",
    "load_artifact",
    "read_deployments",
    "verify_runtime_code",
    "write_deployments",
]
