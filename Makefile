PYTHON := /usr/bin/python3
BOOTSTRAP := env PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m bootstrap
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## install what is missing and run Cloudsite here until Ctrl-C
	@$(BOOTSTRAP) run $(ARGS)

stop: ## stop what `make run` started
	@$(BOOTSTRAP) stop

logs: ## follow the logs of all processes (ARGS="web worker" for some)
	@$(BOOTSTRAP) logs $(ARGS)

preflight: ## say what would stand in the way of a start, changing nothing
	@$(BOOTSTRAP) preflight

manage: ## one management command in the running installation (ARGS="shell")
	@$(BOOTSTRAP) manage $(ARGS)

service: ## install systemd units, so that Cloudsite starts with the machine
	@$(BOOTSTRAP) service $(ARGS)

backup: ## write database, keys and certificates to one file (ARGS="FILE")
	@$(BOOTSTRAP) backup $(ARGS)

restore: ## get a backup back (ARGS="FILE [--dry-run] [--yes]")
	@$(BOOTSTRAP) restore $(ARGS)

uninstall: ## take back everything that was changed on this machine
	@$(BOOTSTRAP) uninstall $(ARGS)

test: ## set everything up and run all checks and tests (ARGS="tests/foo -k bar" for some)
	@$(BOOTSTRAP) test $(ARGS)

soak: ## the long ladders, an upgrade and 2 GiB through nginx among them: three quarters of an hour, as root (ARGS="tests/soak/test_upgrade.py")
	@$(BOOTSTRAP) soak $(ARGS)

check: ## linters, types, contracts, migrations, generated files
	@$(BOOTSTRAP) check $(ARGS)

generate: ## write the generated files
	@$(BOOTSTRAP) generate

lock: ## resolve the dependencies and write requirements/*.txt (ARGS="--upgrade")
	@$(BOOTSTRAP) lock $(ARGS)

fresh: ## run and test on a bare Debian 12 made for it (ARGS="run", "user", "test"; --keep)
	@$(BOOTSTRAP) fresh $(ARGS)

lab: ## start two real libvirt hosts in namespaces and enrol them (ARGS="down --enrol URL" takes them away)
	@$(BOOTSTRAP) lab $(or $(ARGS),up --enrol http://127.0.0.1:$(or $(CLOUDSITE_PORT),8420))

bench: ## measure against the same steps by hand
	@$(BOOTSTRAP) tool bench $(ARGS)

.PHONY: help run stop logs preflight manage service backup restore uninstall test soak check generate lock fresh lab bench
