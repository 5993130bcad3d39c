package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// terminationGrace is the time that a Python process has to end after SIGTERM, before it is killed. Pulumi's engine
// gives this host 5 s in all.
const terminationGrace = 3 * time.Second

// interpreter is the Python of a project or a policy pack.
type interpreter struct {
	executable string
	activation []string // the variables that activate the virtual environment
}

// interpreterFor reads the runtime's options. An option that this host does not implement is an error: ignoring it
// would make the project behave differently than under the official host.
func interpreterFor(info *pulumirpc.ProgramInfo) (*interpreter, error) {
	var virtualenv string
	for name, value := range info.GetOptions().AsMap() {
		switch {
		case name == "virtualenv":
			virtualenv, _ = value.(string)
		case name == "toolchain" && value == "pip":
		default:
			return nil, fmt.Errorf("the runtime option %q: %v in %s is not supported by this language host: "+
				"it knows virtualenv and toolchain: pip", name, value, info.GetRootDirectory())
		}
	}
	if virtualenv == "" {
		return nil, fmt.Errorf("the runtime option virtualenv is missing in %s: name the project's virtual environment "+
			"there, relative to that folder", info.GetRootDirectory())
	}
	if !filepath.IsAbs(virtualenv) {
		virtualenv = filepath.Join(info.GetRootDirectory(), virtualenv)
	}
	binaries := filepath.Join(virtualenv, "bin")
	executable := filepath.Join(binaries, "python")
	if _, err := os.Stat(executable); err != nil {
		return nil, fmt.Errorf("no Python in the virtual environment %s: make it and install the requirements", virtualenv)
	}
	return &interpreter{
		executable: executable,
		activation: []string{
			"VIRTUAL_ENV=" + virtualenv,
			"PATH=" + binaries + string(os.PathListSeparator) + os.Getenv("PATH"),
		},
	}, nil
}

// command is a Python process, in this host's environment, that ends with the context. It gets a process group of its own: a Ctrl-C then reaches
// only this host, which ends the whole group without the tracebacks of interrupted programs.
func (i *interpreter) command(ctx context.Context, arguments ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, i.executable, arguments...)
	command.Env = append(os.Environ(), i.activation...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGTERM) }
	command.WaitDelay = terminationGrace
	return command
}
