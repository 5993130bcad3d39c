/** Example programs by environment. The first one is shown when the page opens. */

import type { Environment } from "./api";

export interface Example {
  readonly title: string;
  readonly code: string;
  readonly stdin?: string;
}

const PYTHON: readonly Example[] = [
  {
    title: "Hello",
    code: `import platform

print("Hello from Python", platform.python_version())
for n in range(1, 6):
    print(f"{n} squared is {n * n}")
`,
  },
  {
    title: "Output as it comes",
    code: `import time

for left in range(5, 0, -1):
    print(f"\\rLift-off in {left}", end="", flush=True)
    time.sleep(0.6)
print("\\r\\x1b[1;32mLift-off!\\x1b[0m        ")
`,
  },
  {
    title: "A question",
    code: `name = input("What is your name? ")
print(f"Hello, {name}!")
`,
  },
  {
    title: "Sum of the input",
    stdin: "3\n5\n8\n",
    code: `import sys

numbers = [int(line) for line in sys.stdin]
print(" + ".join(map(str, numbers)), "=", sum(numbers))
`,
  },
  {
    title: "A picture",
    code: `from math import cos, pi, sin

points = " ".join(f"{150 + 140 * sin(3 * t):.1f},{100 + 90 * cos(4 * t):.1f}" for t in (n * pi / 180 for n in range(360)))
svg = f"""<svg xmlns="http://www.w3.org/2000/svg" width="300" height="200">
<polygon points="{points}" fill="none" stroke="#1f8f74" stroke-width="2"/>
</svg>"""

# Files in /tmp/results come back with the answer.
with open("/tmp/results/curve.svg", "w") as file:
    file.write(svg)
print("Drawn.")
`,
  },
];

const PYTHON_DATA: readonly Example[] = [
  {
    title: "A plot",
    code: `import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np

x = np.linspace(0, 4 * np.pi, 400)
plt.figure(figsize=(6, 3))
plt.plot(x, np.sin(x), label="sin x")
plt.plot(x, np.sin(x) * np.exp(-x / 6), label="damped")
plt.legend()
plt.tight_layout()

# Files in /tmp/results come back with the answer.
plt.savefig("/tmp/results/plot.svg")
print("Plotted", x.size, "points.")
`,
  },
  {
    title: "Shown figures",
    code: `import matplotlib.pyplot as plt
import numpy as np

for decay in (0.1, 0.3):
    x = np.linspace(0, 20, 400)
    plt.plot(x, np.cos(x) * np.exp(-decay * x))
    plt.title(f"Decay {decay}")
    plt.show()  # The figure comes back as a picture.
`,
  },
  {
    title: "A table",
    stdin: "city,year,rain\nBergen,2023,2410\nBergen,2024,2586\nOslo,2023,902\nOslo,2024,835\n",
    code: `import sys

import pandas as pd

frame = pd.read_csv(sys.stdin)
print(frame.groupby("city")["rain"].agg(["mean", "max"]))
`,
  },
];

const NODE: readonly Example[] = [
  {
    title: "Hello",
    code: `console.log("Hello from Node", process.versions.node);

const squares = Array.from({ length: 5 }, (_, n) => (n + 1) ** 2);
console.log("Squares:", squares.join(", "));
`,
  },
  {
    title: "Output as it comes",
    code: `const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function main() {
  for (const colour of [31, 32, 33, 34, 35, 36]) {
    process.stdout.write(\`\\x1b[\${colour}m████\\x1b[0m\`);
    await sleep(400);
  }
  console.log(" done");
}

main();
`,
  },
  {
    title: "A question",
    code: `const { createInterface } = require("node:readline");

const terminal = createInterface({ input: process.stdin, output: process.stdout });
terminal.question("What is your name? ", (name) => {
  console.log(\`Hello, \${name}!\`);
  terminal.close();
});
`,
  },
];

const TYPESCRIPT: readonly Example[] = [
  {
    title: "Hello",
    code: `interface Planet {
  name: string;
  moons: number;
}

const planets: Planet[] = [
  { name: "Earth", moons: 1 },
  { name: "Mars", moons: 2 },
];

function describe({ name, moons }: Planet): string {
  return \`\${name} has \${moons} moon\${moons === 1 ? "" : "s"}.\`;
}

for (const planet of planets) console.log(describe(planet));
`,
  },
];

const BASH: readonly Example[] = [
  {
    title: "Hello",
    code: `echo "Hello from Bash \${BASH_VERSION%%(*}"
for n in {1..5}; do
  echo "$n squared is $((n * n))"
done
`,
  },
  {
    title: "Output as it comes",
    code: `for left in 3 2 1; do
  printf '\\rLift-off in %d' "$left"
  sleep 1
done
printf '\\r\\033[1;32mLift-off!\\033[0m    \\n'
`,
  },
  {
    title: "A question",
    code: `read -rp "What is your name? " name
echo "Hello, $name!"
`,
  },
  {
    title: "What holds it in",
    code: `echo "I am $(id -u):$(id -g)."
touch /etc/x 2>/dev/null || echo "The root file system can't be written."
grep -q '^CapEff:.0*$' /proc/self/status && echo "I have no capabilities."
(exec 3<>/dev/tcp/192.0.2.1/80) 2>/dev/null || echo "There is no network."
`,
  },
];

const EXAMPLES: Readonly<Record<string, readonly Example[]>> = {
  python: PYTHON,
  "python-data": PYTHON_DATA,
  node: NODE,
  typescript: TYPESCRIPT,
  bash: BASH,
};

/** The page's examples for an environment, or the API's example if the page has none. */
export function examplesOf(environment: Environment): readonly Example[] {
  return EXAMPLES[environment.name] ?? [{ title: "Hello", code: environment.example }];
}
