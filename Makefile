# Every target is a command of the Python program in tools/, which creates its own virtual environment first.
PYTHON ?= python3
TOOLS := $(PYTHON) tools/bootstrap.py

ON := $(if $(STACK),--stack $(STACK))

.DEFAULT_GOAL := help
.PHONY: help up core preview refresh down cluster cluster-down status outputs logs client backup restore recover publish check unit \
	test format generate bench cost soak diagrams ranges rotate key secret pulumi doctor profile

help: ## Show this list. STACK=prod, where it is named: the server of Pulumi.prod.yaml instead of this machine
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' $(MAKEFILE_LIST) | expand -t 18

up: ## Bring the platform up; run it again after a failure or a change. STACK=prod
	@$(TOOLS) up $(ON) $(if $(filter core,$(MAKECMDGOALS)),--core)

core: up ## As `make up`, without the services that must be compiled first
	@:

preview: ## Show what `make up` would change. STACK=prod
	@$(TOOLS) preview $(ON)

refresh: ## Read into the state what is really there, after an interruption or a change by hand. STACK=prod
	@$(TOOLS) refresh $(ON)

down: ## Remove the platform. VOLUMES=1: its data too; ENGINE=1: stop our Docker; FORGET=1: without Pulumi's state; STACK=prod
	@$(TOOLS) down $(ON) $(if $(CONFIRM),--confirm "$(CONFIRM)") $(if $(VOLUMES),--volumes) $(if $(ENGINE),--engine) $(if $(FORGET),--forget)

cluster: ## Bring the platform up on Kubernetes: the kubeconfig's, else one of this machine's own. NODES=2: two nodes
	@$(TOOLS) cluster $(if $(NODES),--nodes $(NODES))

cluster-down: ## Remove what `make cluster` has brought up
	@$(TOOLS) cluster_down

status: ## Show the services, their health and their URLs. STACK=prod
	@$(TOOLS) status $(ON)

outputs: ## Show the URLs and passwords. STACK=prod
	@$(TOOLS) outputs $(ON)

logs: ## Show the logs, and follow them on a terminal. SERVICE=name: only that one; STACK=prod
	@$(TOOLS) logs $(ON) $(if $(SERVICE),--service $(SERVICE))

client: ## Make every call of the API in a terminal, then run your code. URL=https://...: another platform's
	@$(TOOLS) client $(if $(URL),--url $(URL))

doctor: ## Look at all that can be wrong, and name the runbook for what is. STACK=prod
	@$(TOOLS) doctor $(ON)

profile: ## Write a flame graph of what a running service does. SERVICE=api or executor; SECONDS=30; STACK=prod
	@$(TOOLS) profile $(ON) --service "$(SERVICE)" $(if $(SECONDS),--seconds $(SECONDS))

backup: ## Make a backup of the stack's data now. LIST=1: list those that there are; STACK=prod
	@$(TOOLS) backup $(ON) $(if $(LIST),--list)

restore: ## Make the stack's data what it was in the newest backup. SNAPSHOT=id: in that one; STACK=prod
	@$(TOOLS) restore $(ON) $(if $(SNAPSHOT),--snapshot "$(SNAPSHOT)")

recover: ## From an empty server and the backups' repository to the running platform: docs/OPERATIONS.md. STACK=prod
	@$(TOOLS) recover $(ON)

publish: ## Push our own images. REGISTRY=ghcr.io/me/vps; STACK=prod: write their digests into its config
	@$(TOOLS) publish --registry "$(REGISTRY)" $(ON)

check: ## Lint, format, types, spelling and ends of life, in less than 30 s
	@$(TOOLS) check

unit: ## The quick tests, which need neither Docker nor Pulumi, in less than a minute
	@$(TOOLS) unit

format: ## Format the code and sort its imports
	@$(TOOLS) format

generate: ## Write every generated file again: seccomp profile, dashboards, tables of the documents, page, lock files
	@$(TOOLS) generate

test: ## `make check` and every test, with real Docker and Pulumi. GVISOR=1: only the attacks, under gVisor; VM=1: on an emulated VPS; CLUSTER=1: on Kubernetes; VAULT=1: with a vault; SUITE="name": that one of tests/suites.toml
	@$(TOOLS) test $(if $(GVISOR),--gvisor) $(if $(VM),--vm) $(if $(CLUSTER),--cluster) $(if $(VAULT),--vault) $(if $(SUITE),--suite "$(SUITE)")

bench: ## Compare the platform with `docker run` and nsjail, in 5 minutes. QUICK=1: in one; PEERS=1: with go-judge too
	@$(TOOLS) bench $(if $(QUICK),--quick) $(if $(PEERS),--peers)

cost: ## Measure the CPU and memory of each service, idle and at 6 executions a second, in about 5 minutes
	@$(TOOLS) cost

soak: ## Run 10,000 executions while parts are killed, and look for leaks. N=number: that many
	@$(TOOLS) soak $(if $(N),--executions $(N))

diagrams: ## Draw the pictures of docs/workspace.dsl again, after a change of it
	@$(TOOLS) diagrams

ranges: ## Download the list of Cloudflare's addresses, which the firewall and the edge use
	@$(TOOLS) ranges

rotate: ## Set a new password. SECRET=dashboardPassword, grafanaPassword or portainerPassword; STACK=prod
	@$(TOOLS) rotate $(SECRET) $(ON)

key: ## Make a secret for a site that embeds the API. NAME=site; STACK=prod
	@$(TOOLS) key --name "$(NAME)" $(ON)

secret: ## Set a secret, read from the standard input. KEY=backupPassword; STACK=prod
	@$(TOOLS) secret --key "$(KEY)" $(ON)

pulumi: ## Find or build Pulumi with its plugins, and write .vps/pulumi.env for `pulumi` by hand
	@$(TOOLS) pulumi
