workspace "VPS" "A server as one typed stack, with a sandbox that visitors may run code in" {

    !identifiers hierarchical
    !impliedRelationships true

    model {
        visitor = person "Visitor" "Runs a snippet on a portfolio site, or calls the API"
        operator = person "Operator" "Owns the server and sets it up with one command"
        contributor = person "Contributor" "Opens a pull request and reads what it would change on the server"

        cloudflare = softwareSystem "Cloudflare" "DNS, and a proxy in front of the server where it is switched on" "External"
        authority = softwareSystem "Let's Encrypt" "Issues certificates by DNS-01" "External"
        github = softwareSystem "GitHub Actions" "Tests, previews pull requests, deploys, detects drift" "External"
        index = softwareSystem "Package indexes" "Wheels of PyPI and tarballs of npm's registry, or mirrors of them" "External"
        receiver = softwareSystem "Receiver of alerts" "Webhook, e-mail or Slack" "External"

        platform = softwareSystem "Platform" "Everything that runs on one Docker, or on a cluster" {
            program = container "Pulumi program" "Turns settings into components and components into resources; a policy pack refuses what is weaker than the profile" "Python, Pulumi, CrossGuard" "Program" {
                settings = component "settings" "The whole configuration as immutable models; unknown keys are refused" "pydantic"
                platformComponent = component "platform" "Builds the components and collects their routes" "ComponentResource"
                service = component "service" "Describes a service and makes a hardened container of it" "ComponentResource"
                hostComponent = component "host, firewall, dns" "Prepare the server over SSH; records at Cloudflare" "ComponentResource"
                policies = component "policies" "Mandatory rules; every exemption has a name and a reason" "CrossGuard"
                profile = component "profile" "The sandbox's limits, defined here only" "pydantic"
            }
            traefik = container "traefik" "The edge: the only service with open ports" "Traefik"
            api = container "api" "Validates requests, limits their rate, streams and shapes answers" "Python, Starlette" {
                rate = component "rate" "Limits the executions a minute by client address" "Python, limits"
                operations = component "operations" "POST /execute, GET /environments, /health, /stats" "Starlette"
                streaming = component "streaming" "WebSocket and server-sent events" "Starlette"
                rooms = component "rooms" "Shared editing and runs, where they are on; documents in SQLite on a volume" "Starlette, pycrdt"
                compatibility = component "piston, codapi" "The APIs of Piston and codapi" "Starlette"
                executorClient = component "executor_client" "Calls the executor over its Unix socket" "asyncio"
            }
            executor = container "executor" "Makes the sandboxes and bounds them together; in a user namespace, without network or Docker's socket" "Python, Starlette" {
                server = component "server" "Accepts an environment, files, stdin, args and a timeout; nothing that names an image, mount or flag" "Starlette"
                launcher = component "launcher" "Prepares control groups, devices and /proc as the container's root, then enters the user namespace" "Python"
                pool = component "pool" "Keeps sandboxes ready; hands out each one once" "asyncio"
                workshop = component "workshop" "Starts a sandbox with every limit of the profile, and destroys it" "OCI bundles"
            }
            packages = container "packages" "Off by default: resolves packages, and fetches and unpacks their archives; the executor mounts the sets read-only" "Python, uv, npm"
            packagesCopy = container "packages-copy" "On a cluster, where packages are on: in each unit, keeps the sets that the unit needs" "Python"
            valkey = container "valkey" "Off by default: counts requests for several units" "Valkey"
            sandbox = container "sandbox" "Runs one execution and is destroyed: no network, read-only root, no capabilities" "the plain interpreter, in a container of crun or runsc" "Sandbox"
            prometheus = container "prometheus" "Metrics of the last 15 days, recording rules, alerts" "Prometheus" "Monitoring"
            alertmanager = container "alertmanager" "Routes alerts by severity" "Alertmanager" "Monitoring"
            loki = container "loki" "Logs of the last 15 days" "Loki" "Monitoring"
            collector = container "collector" "Reads the containers' log files; holds no socket" "OpenTelemetry Collector" "Monitoring"
            jaeger = container "jaeger" "A trace for each execution" "Jaeger" "Monitoring"
            grafana = container "grafana" "Dashboards as code" "Grafana" "Monitoring"
            exporters = container "exporters" "Metrics of the host and its containers; probes of every public route" "node_exporter, blackbox_exporter, Python" "Monitoring"
            portainer = container "portainer" "A page to manage Docker, behind the edge's password" "Portainer" "Socket"
        }

        visitor -> cloudflare "Requests the page, sends code" "HTTPS"
        cloudflare -> platform.traefik "Forwards requests" "HTTPS"
        operator -> platform.program "pulumi up, make up"
        operator -> platform.grafana "Reads dashboards"
        contributor -> github "Opens a pull request"
        github -> platform.program "Previews, deploys, checks for drift"
        platform.program -> cloudflare "Creates DNS records" "API"
        platform.program -> platform.traefik "Creates every service" "Docker's API over SSH, or Kubernetes' API"
        platform.traefik -> authority "Gets certificates, by DNS challenge" "ACME"

        platform.traefik -> platform.api.operations "Forwards requests" "HTTP"
        platform.traefik -> platform.api.streaming "Forwards streams" "WebSocket"
        platform.traefik -> platform.api.compatibility "Forwards requests" "HTTP"
        platform.traefik -> platform.api.rooms "Forwards edits and runs" "WebSocket"
        platform.traefik -> platform.grafana "Forwards requests" "HTTP"
        platform.traefik -> platform.prometheus "Forwards requests, with a password" "HTTP"
        platform.traefik -> platform.alertmanager "Forwards requests, with a password" "HTTP"
        platform.traefik -> platform.portainer "Forwards requests, with a password" "HTTP"
        platform.traefik -> platform.jaeger "Sends spans; forwards requests, with a password" "OTLP, HTTP"
        platform.api.operations -> platform.api.rate "Counts requests"
        platform.api.streaming -> platform.api.rate "Counts requests"
        platform.api.compatibility -> platform.api.operations "Translates requests for"
        platform.api.operations -> platform.api.executorClient "Hands over executions"
        platform.api.streaming -> platform.api.executorClient "Hands over executions"
        platform.api.rooms -> platform.api.rate "Counts runs"
        platform.api.rooms -> platform.api.executorClient "Hands over executions"
        platform.api.rate -> platform.valkey "Counts requests, where it runs" "RESP"
        platform.api.operations -> platform.packages "Asks for sets of packages" "HTTP over a Unix socket"
        platform.packages -> index "Fetches archives" "HTTPS"
        platform.executor.workshop -> platform.packages "Mounts its sets, read-only" "volume"
        platform.api.operations -> platform.packagesCopy "Asks for sets of packages" "HTTP over a Unix socket"
        platform.packagesCopy -> platform.packages "Asks for sets, and copies them" "HTTP"
        platform.executor.workshop -> platform.packagesCopy "Mounts its sets, read-only" "volume"
        platform.api.executorClient -> platform.executor.server "Requests executions" "HTTP over a Unix socket"
        platform.api -> platform.jaeger "Sends spans, the executor's too" "OTLP"
        platform.executor.launcher -> platform.executor.server "Starts, as root of the namespace alone"
        platform.executor.server -> platform.executor.pool "Claims a sandbox"
        platform.executor.pool -> platform.executor.workshop "Makes, destroys"
        platform.executor.workshop -> platform.sandbox "Creates, writes to, reads from, removes" "crun or runsc, pipes"

        platform.prometheus -> platform.traefik "Scrapes" "HTTP"
        platform.prometheus -> platform.api "Scrapes, the executor's metrics too" "HTTP"
        platform.prometheus -> platform.packages "Scrapes, on a cluster" "HTTP"
        platform.prometheus -> platform.exporters "Scrapes" "HTTP"
        platform.prometheus -> platform.alertmanager "Sends alerts" "HTTP"
        platform.alertmanager -> receiver "Notifies" "HTTPS, SMTP"
        platform.collector -> platform.loki "Sends lines" "HTTP"
        platform.grafana -> platform.prometheus "Queries" "HTTP"
        platform.grafana -> platform.loki "Queries" "HTTP"
        platform.grafana -> platform.jaeger "Queries" "HTTP"
        platform.exporters -> platform.traefik "Probes every public route" "HTTPS"

        platform.program.settings -> platform.program.profile "Includes"
        platform.program.platformComponent -> platform.program.settings "Is built from"
        platform.program.platformComponent -> platform.program.service "Describes services with"
        platform.program.platformComponent -> platform.program.hostComponent "Waits for"
        platform.program.policies -> platform.program.profile "Compares resources with"
        platform.program.policies -> platform.program.service "Checks the resources of"

        production = deploymentEnvironment "Production" {
            others = deploymentGroup "Default"
            withPackages = deploymentGroup "packages"
            deploymentNode "Laptop or CI" "" "Python, Pulumi" {
                containerInstance platform.program
            }
            deploymentNode "VPS" "nftables: SSH from named sources, HTTPS from Cloudflare" "Debian or Ubuntu" {
                deploymentNode "Docker" "" "docker" {
                    deploymentNode "public" "Has a way out" "network" {
                        containerInstance platform.traefik
                    }
                    deploymentNode "api" "Internal: no way out" "network" {
                        containerInstance platform.api others,withPackages
                    }
                    deploymentNode "store" "Internal: no way out" "network" {
                        containerInstance platform.valkey
                    }
                    deploymentNode "outbound" "Has a way out; nothing else of the platform is on it" "network" {
                        containerInstance platform.packages withPackages
                    }
                    deploymentNode "monitoring" "Internal: no way out" "network" {
                        containerInstance platform.prometheus
                        containerInstance platform.alertmanager
                        containerInstance platform.loki
                        containerInstance platform.collector
                        containerInstance platform.jaeger
                        containerInstance platform.grafana
                        containerInstance platform.exporters
                    }
                    deploymentNode "management" "Internal: no way out" "network" {
                        containerInstance platform.portainer
                    }
                    deploymentNode "no network" "Only a loopback interface" "network" {
                        containerInstance platform.executor others,withPackages
                        deploymentNode "the executor's namespaces" "One memory limit holds the executor and all sandboxes" "user namespace" {
                            containerInstance platform.sandbox
                        }
                    }
                }
            }
        }

        cluster = deploymentEnvironment "Cluster" {
            others = deploymentGroup "Default"
            withPackages = deploymentGroup "packages"
            deploymentNode "Laptop or CI" "" "Python, Pulumi" {
                containerInstance platform.program
            }
            deploymentNode "Kubernetes" "Only the packets of this picture's arrows pass" "Cluster" {
                deploymentNode "edge" "Pod Security: restricted" "namespace" {
                    containerInstance platform.traefik
                }
                deploymentNode "units" "Its pods are held by admission policies" "namespace" {
                    deploymentNode "sandbox; with rooms one more, sandbox-rooms" "A unit; as many as it takes" "pod" {
                        containerInstance platform.api
                        containerInstance platform.executor
                        containerInstance platform.packagesCopy others,withPackages
                        deploymentNode "the executor's namespaces" "No network; one memory limit holds the executor and all sandboxes" "user namespace" {
                            containerInstance platform.sandbox
                        }
                    }
                }
                deploymentNode "store" "Pod Security: restricted" "namespace" {
                    containerInstance platform.valkey
                }
                deploymentNode "monitoring" "Pod Security: restricted" "namespace" {
                    containerInstance platform.alertmanager
                    containerInstance platform.loki
                    containerInstance platform.jaeger
                    containerInstance platform.grafana
                    containerInstance platform.exporters
                    containerInstance platform.prometheus others,withPackages
                }
                deploymentNode "packages" "Pod Security: restricted; alone has a way out to the package indexes" "namespace" {
                    containerInstance platform.packages withPackages
                }
                deploymentNode "nodes" "A pod on each node, held by admission policies" "namespace" {
                    containerInstance platform.collector
                }
            }
        }
    }

    views {
        systemContext platform "context" "Who uses the platform, and what the platform uses" {
            include *
            autolayout lr
        }
        container platform "container" "What runs, and what calls what" {
            include *
            autolayout tb
        }
        deployment platform production "deployment" "Where it runs: one server, networks that keep services apart" {
            include *
            autolayout lr
        }
        deployment platform cluster "deployment-cluster" "Where it runs on Kubernetes: namespaces by trust" {
            include *
            autolayout lr
        }
        component platform.program "component-program" "The Pulumi program" {
            include *
            autolayout lr
        }
        component platform.api "component-api" "The public process" {
            include *
            autolayout lr
        }
        component platform.executor "component-executor" "The process that makes the sandboxes" {
            include *
            autolayout lr
        }
        styles {
            element "Element" {
                background "#eaf2ff"
                color "#1f2430"
                stroke "#4a72a8"
                fontSize 22
            }
            element "Person" {
                shape Person
                background "#ffffff"
            }
            element "External" {
                background "#f6f7f9"
                stroke "#9aa3b2"
            }
            element "Socket" {
                background "#ffe9e4"
                stroke "#b4452f"
            }
            element "Sandbox" {
                background "#fff4e5"
                stroke "#d9a04b"
            }
            element "Monitoring" {
                background "#eef7ee"
                stroke "#5f8f5f"
            }
        }
    }
}
