# SPDX-License-Identifier: Apache-2.0
"""Test harness: private brokers, the three daemons, and what to check when they end."""
from .case import IntegrationTest, main
from .chain import Chain, DirectChain, Endpoint, Guest, NoChain, mode
from .paths import ROOT, MissingProgram, build_dir, program
from .ports import free_port
from .process import Process, ProcessFailed
from .rabbitmq import Broker, Node, NodeRef, answers_amqp, shared_node
from .workspace import Workspace, end_on_signals, wait_until
