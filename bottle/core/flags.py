"""Flags: a plan's networks and containers as the words of Docker's command line."""

from __future__ import annotations

from typing import Final

from bottle.core.parts import ContainerPlan, NetworkPlan


def network_arguments(plan: NetworkPlan) -> tuple[str, ...]:
    """Give the words after `docker network create`."""
    words = ["--driver=bridge", "--ipv6=false", f"--subnet={plan.subnet}"]
    words += [f"--opt={name}={value}" for name, value in plan.options.items()]
    words += [f"--label={name}={value}" for name, value in plan.labels.items()]
    words += ["--internal"] if plan.internal else []
    return (*words, plan.name)


def container_arguments(plan: ContainerPlan) -> tuple[str, ...]:
    """Give the words after `docker create`; no flag of a bottle's containers is decided elsewhere.

    The container is removed by the engine when PID 1 ends, writes no log, and keeps its stdin
    open for the pipe that it lives on.
    """
    first = plan.attachments[0]
    words = [
        f"--name={plan.name}",
        f"--hostname={plan.hostname}",
        f"--runtime={plan.runtime}",
        f"--user={plan.uid}:{plan.uid}",
        f"--network={first.network}",
        f"--ip={first.address}",
        f"--memory={plan.memory}",
        f"--memory-swap={plan.memory}",
        f"--pids-limit={plan.pids}",
        f"--cpu-shares={plan.cpu_shares}",
        *([f"--cpus={_cpus(plan)}"] if plan.nano_cpus else []),
        *_FIXED_FLAGS,
    ]
    words += [f"--label={name}={value}" for name, value in plan.labels.items()]
    words += [f"--tmpfs={mount.path}:{mount.options}" for mount in plan.tmpfs]
    words += [f"--env={name}={value}" for name, value in plan.environment.items()]
    words += [f"--sysctl={name}={value}" for name, value in plan.sysctls.items()]
    words += [f"--dns={server}" for server in plan.dns]
    words += [f"--dns-option={option}" for option in plan.dns_options]
    return (*words, f"--entrypoint={plan.command[0]}", plan.image, *plan.command[1:])


def _cpus(plan: ContainerPlan) -> str:
    """Write processors to the last digit that the engine keeps, as posture wants them back."""
    return f"{plan.nano_cpus / 1e9:.9f}".rstrip("0").rstrip(".")


_FIXED_FLAGS: Final = (
    "--interactive",
    "--rm",
    "--workdir=/",  # whatever an image says
    "--pull=never",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--read-only",
    "--ipc=private",
    "--cgroupns=private",
    "--log-driver=none",
    "--no-healthcheck",
    "--restart=no",
    "--ulimit=core=0:0",
)
