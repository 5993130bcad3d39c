workspace "VPS" "A server as one typed stack, with a sandbox that visitors may run code in" {

    !identifiers hierarchical
    !impliedRelationships true

    model {
        visitor = person "Visitor" "Runs a snippet on a portfolio site, or calls the API"
        operator = person "Operator" "Owns the server: one command sets it up"
        contributor = person "Contributor" "Opens a pull request and reads what it would change"

        cloudflare = softwareSystem "Cloudflare" "DNS, and the proxy before the server where it is on" "External"
        authority = softwareSystem "Let's Encrypt" "Issues certificates by DNS-01" "External"
        github = softwareSystem "GitHub Actions" "Tests, previews on pull requests, deploys, looks for drift" "External"
        receiver = softwareSystem "Receiver of alerts" "Webhook, e-mail or Slack" "External"

        platform = softwareSystem "Platform" "Everything on one Docker engine" {
            program = container "Pulumi program" "Config to settings to components to resources; a policy pack refuses what is weaker than the profile" "Python, Pulumi, CrossGuard" "Program" {
                settings = component "settings" "The whole configuration as frozen models; unknown keys are refused" "pydantic"
                platformComponent = component "platform" "Builds the components and knows the routes" "ComponentResource"
                service = component "service" "The one place that makes a container, hardened by default" "ComponentResource"
                hostComponent = component "host, firewall, dns" "Prepare the server over SSH; records at Cloudflare" "ComponentResource"
                policies = component "policies" "Mandatory rules; every exemption is named" "CrossGuard"
                profile = component "profile" "The sandbox's limits: the only place that spells one" "pydantic"
            }
            traefik = container "traefik" "The edge: the only service with open ports" "Traefik"
            api = container "api" "Validates, limits, streams and shapes answers; holds no engine socket" "Python, Starlette" {
                rate = component "rate" "Executions a minute by client address" "limits"
                operations = component "operations" "POST /execute, GET /environments, /health, /stats" "Starlette"
                streaming = component "streaming" "WebSocket and server-sent events" "Starlette"
                neighbours = component "piston, codapi" "The APIs of neighbours, unchanged" "Starlette"
                executorClient = component "executor_client" "Speaks to the executor over its Unix socket" "asyncio"
            }
            executor = container "executor" "Owns the engine's socket and the sandboxes; has no network" "Python, Starlette" "Socket" {
                server = component "server" "Accepts an environment, files, stdin, args and a timeout; nothing that names an image, mount or flag" "Starlette"
                pool = component "pool" "Keeps warm sandboxes; gives out each one once" "asyncio"
                workshop = component "docker_workshop" "Creates a sandbox with every flag of the profile, and destroys it" "Engine API"
            }
            sandbox = container "sandbox" "Runs one execution and is destroyed: no network, read-only, no capabilities" "PID 1 in Python, then python, node or bash" "Sandbox"
            prometheus = container "prometheus" "Metrics for 15 days, recording rules, alerts" "Prometheus" "Monitoring"
            alertmanager = container "alertmanager" "Routes alerts by severity" "Alertmanager" "Monitoring"
            loki = container "loki" "Logs for 15 days" "Loki" "Monitoring"
            collector = container "collector" "Reads log files, without the engine's socket" "OpenTelemetry Collector" "Monitoring"
            jaeger = container "jaeger" "A trace for each execution" "Jaeger" "Monitoring"
            grafana = container "grafana" "Dashboards as code" "Grafana" "Monitoring"
            exporters = container "exporters" "Figures of the host; probes of every public route" "node_exporter, blackbox_exporter" "Monitoring"
            portainer = container "portainer" "A page to manage the engine, behind the edge's password" "Portainer" "Socket"
        }

        visitor -> cloudflare "Asks for a page, sends code" "HTTPS"
        cloudflare -> platform.traefik "Passes on" "HTTPS"
        operator -> platform.program "pulumi up, make up"
        operator -> platform.grafana "Looks at"
        contributor -> github "Opens a pull request"
        github -> platform.program "Previews, deploys, checks for drift"
        platform.program -> cloudflare "Records" "API"
        platform.program -> platform.traefik "Creates every service over the engine's API" "SSH"
        platform.traefik -> authority "Certificates, proven by records at Cloudflare" "ACME"

        platform.traefik -> platform.api.operations "Passes requests" "HTTP"
        platform.traefik -> platform.api.streaming "Passes streams" "WebSocket"
        platform.traefik -> platform.api.neighbours "Passes requests" "HTTP"
        platform.traefik -> platform.grafana "Passes requests" "HTTP"
        platform.traefik -> platform.prometheus "Passes requests, with a password" "HTTP"
        platform.traefik -> platform.alertmanager "Passes requests, with a password" "HTTP"
        platform.traefik -> platform.portainer "Passes requests, with a password" "HTTP"
        platform.traefik -> platform.jaeger "Spans; passes requests, with a password" "OTLP, HTTP"
        platform.api.operations -> platform.api.rate "Counts"
        platform.api.streaming -> platform.api.rate "Counts"
        platform.api.neighbours -> platform.api.operations "Translates to"
        platform.api.operations -> platform.api.executorClient "Hands over"
        platform.api.streaming -> platform.api.executorClient "Hands over"
        platform.api.executorClient -> platform.executor.server "Executions, and back the answers" "HTTP over a Unix socket"
        platform.api -> platform.jaeger "Spans, the executor's too" "OTLP"
        platform.executor.server -> platform.executor.pool "Claims a sandbox"
        platform.executor.pool -> platform.executor.workshop "Makes, destroys"
        platform.executor.workshop -> platform.sandbox "Creates, feeds, reads, removes" "Engine API"

        platform.prometheus -> platform.traefik "Scrapes" "HTTP"
        platform.prometheus -> platform.api "Scrapes, the executor too" "HTTP"
        platform.prometheus -> platform.exporters "Scrapes" "HTTP"
        platform.prometheus -> platform.alertmanager "Alerts" "HTTP"
        platform.alertmanager -> receiver "Notifies" "HTTPS, SMTP"
        platform.collector -> platform.loki "Lines" "HTTP"
        platform.grafana -> platform.prometheus "Asks" "HTTP"
        platform.grafana -> platform.loki "Asks" "HTTP"
        platform.grafana -> platform.jaeger "Asks" "HTTP"
        platform.exporters -> platform.traefik "Probes every public route" "HTTPS"

        platform.program.settings -> platform.program.profile "Holds"
        platform.program.platformComponent -> platform.program.settings "Is built from"
        platform.program.platformComponent -> platform.program.service "Makes each container as"
        platform.program.platformComponent -> platform.program.hostComponent "Waits for"
        platform.program.policies -> platform.program.profile "Holds resources against"
        platform.program.policies -> platform.program.service "Checks what comes of"

        production = deploymentEnvironment "Production" {
            deploymentNode "Laptop or CI" "" "Python, Pulumi" {
                containerInstance platform.program
            }
            deploymentNode "VPS" "nftables: SSH from named sources, HTTPS from Cloudflare" "Debian or Ubuntu" {
                deploymentNode "Docker Engine" "" "docker" {
                    deploymentNode "public" "Leads outside" "network" {
                        containerInstance platform.traefik
                    }
                    deploymentNode "api" "Leads nowhere outside" "network" {
                        containerInstance platform.api
                    }
                    deploymentNode "monitoring" "Leads nowhere outside" "network" {
                        containerInstance platform.prometheus
                        containerInstance platform.alertmanager
                        containerInstance platform.loki
                        containerInstance platform.collector
                        containerInstance platform.jaeger
                        containerInstance platform.grafana
                        containerInstance platform.exporters
                    }
                    deploymentNode "management" "Leads nowhere outside" "network" {
                        containerInstance platform.portainer
                    }
                    deploymentNode "no network" "Only a loopback interface" "network" {
                        containerInstance platform.executor
                        containerInstance platform.sandbox
                    }
                }
            }
        }
    }

    views {
        systemContext platform "context" "Who uses the platform, and what it uses" {
            include *
            autolayout lr
        }
        container platform "container" "What runs, and who speaks to whom" {
            include *
            autolayout tb
        }
        deployment platform production "deployment" "Where it runs: one server, networks that keep services apart" {
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
        component platform.executor "component-executor" "The process that owns the engine's socket" {
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
