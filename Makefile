# Every target is a command of the Python program in tools/. It makes its own virtual environment first.
PYTHON ?= python3
TOOLS := $(PYTHON) tools/bootstrap.py

.DEFAULT_GOAL := help
.PHONY: help up core preview down status logs client backup restore publish check unit test format generate bench cost \
	soak diagrams ranges rotate

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' $(MAKEFILE_LIST) | expand -t 18

up: ## Bring the platform up on this machine; again to go on after a failure, or after a change
	@$(TOOLS) up $(if $(filter core,$(MAKECMDGOALS)),--core)

core: up ## The same as `make up core`: without what would have to be compiled first
	@:

preview: ## Show what `make up` would change
	@$(TOOLS) preview

down: ## Remove all but its data. VOLUMES=1: the data too; ENGINE=1: our engine too; FORGET=1: where its state is lost
	@$(TOOLS) down $(if $(VOLUMES),--volumes) $(if $(ENGINE),--engine) $(if $(FORGET),--forget)

status: ## Show the services, their health and their URLs
	@$(TOOLS) status

logs: ## Show the logs, and follow them on a terminal. SERVICE=name: only that one
	@$(TOOLS) logs $(if $(SERVICE),--service $(SERVICE))

client: ## Walk through the API in a terminal, then run what you type. URL=https://...: another platform's
	@$(TOOLS) client $(if $(URL),--url $(URL))

backup: ## Save the data of the stack. STACK=prod: that of another; TO=folder: there
	@$(TOOLS) backup $(if $(STACK),--stack $(STACK)) $(if $(TO),--to $(TO))

restore: ## Put the data of a stack that is down back. FROM=folder: what `make backup` wrote; STACK=prod
	@$(TOOLS) restore --from "$(FROM)" $(if $(STACK),--stack $(STACK))

publish: ## Push the images that are ours. REGISTRY=ghcr.io/me/vps; STACK=prod: name their digests in its config
	@$(TOOLS) publish --registry "$(REGISTRY)" $(if $(STACK),--stack $(STACK))

check: ## Lint, format, types and spelling, in less than 30 s
	@$(TOOLS) check

unit: ## The tests that need neither Docker nor Pulumi, in less than a minute
	@$(TOOLS) unit

format: ## Lay out the code and sort its imports
	@$(TOOLS) format

generate: ## Write every generated file again: dashboards, tables of the documents, lock files, ...
	@$(TOOLS) generate

test: ## Lint, types and every test, on real parts. GVISOR=1: the attacks under gVisor alone, from each environment
	@$(TOOLS) test $(if $(GVISOR),--gvisor)

bench: ## Measure the platform beside docker run, in about 6 minutes. QUICK=1: in one, and rougher
	@$(TOOLS) bench $(if $(QUICK),--quick)

cost: ## Measure what each service takes at rest and under 6 executions a second, in about 5 minutes
	@$(TOOLS) cost

soak: ## Run 10,000 executions while parts of it are killed, and look for what leaks. N=number: so many
	@$(TOOLS) soak $(if $(N),--executions $(N))

diagrams: ## Draw the pictures of docs/workspace.dsl again, after a change of it
	@$(TOOLS) diagrams

ranges: ## Refresh the list of Cloudflare's addresses, which the firewall and the edge use
	@$(TOOLS) ranges

rotate: ## Make another password. SECRET=dashboardPassword, grafanaPassword or portainerPassword; STACK=prod
	@$(TOOLS) rotate $(SECRET) $(if $(STACK),--stack $(STACK))
