package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/pulumi/pulumi-go-provider/infer"
)

// secondsToEnd is the longest wait for open pipes of an interrupted command.
const secondsToEnd = 5 * time.Second

// Local is `command:local:Command`.
type Local struct{}

type LocalArgs struct {
	Script
	Dir         *string  `pulumi:"dir,optional"`
	Interpreter []string `pulumi:"interpreter,optional"`
}

type LocalState struct {
	LocalArgs
	Output
}

func (l *Local) Annotate(a infer.Annotator) {
	a.SetToken("local", "Command")
}

func (Local) Create(
	ctx context.Context, req infer.CreateRequest[LocalArgs],
) (infer.CreateResponse[LocalState], error) {
	state := LocalState{LocalArgs: req.Inputs}
	id, err := newID(req.Name)
	if err == nil && !req.DryRun {
		state.Output, err = req.Inputs.onCreate(ctx, req.Inputs)
	}
	return infer.CreateResponse[LocalState]{ID: id, Output: state}, err
}

func (Local) Update(
	ctx context.Context, req infer.UpdateRequest[LocalArgs, LocalState],
) (infer.UpdateResponse[LocalState], error) {
	state := LocalState{LocalArgs: req.Inputs, Output: req.State.Output}
	var err error
	if !req.DryRun {
		state.Output, err = req.Inputs.onUpdate(ctx, req.Inputs, req.State.Output)
	}
	return infer.UpdateResponse[LocalState]{Output: state}, err
}

func (Local) Delete(ctx context.Context, req infer.DeleteRequest[LocalState]) (infer.DeleteResponse, error) {
	return infer.DeleteResponse{}, req.State.onDelete(ctx, req.State.LocalArgs, req.State.Output)
}

func (Local) WireDependencies(f infer.FieldSelector, args *LocalArgs, state *LocalState) {
	wireOutput(f, &args.Script, &state.Output)
}

func (l LocalArgs) run(
	ctx context.Context, line string, environment map[string]string, stdin io.Reader, stdout, stderr io.Writer,
) error {
	argv := l.Interpreter
	if len(argv) == 0 {
		argv = []string{"/bin/sh", "-c"}
	}
	argv = append(append([]string{}, argv...), line)
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	if l.Dir != nil {
		command.Dir = *l.Dir
	}
	command.Env = os.Environ()
	for name, value := range environment {
		command.Env = append(command.Env, name+"="+value)
	}
	command.Stdin, command.Stdout, command.Stderr = stdin, stdout, stderr
	// A process group of its own, so that the shell's child processes end with it.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = secondsToEnd
	if err := command.Run(); err != nil {
		return fmt.Errorf("the command failed: %w", err)
	}
	return nil
}
