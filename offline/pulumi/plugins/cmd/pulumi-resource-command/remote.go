package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/pulumi/pulumi-go-provider/infer"
	"golang.org/x/crypto/ssh"
)

// Remote is `command:remote:Command`.
type Remote struct{}

type RemoteArgs struct {
	Script
	Connection Connection `pulumi:"connection" provider:"secret"`
}

type RemoteState struct {
	RemoteArgs
	Output
}

func (r *Remote) Annotate(a infer.Annotator) {
	a.SetToken("remote", "Command")
}

func (Remote) Create(
	ctx context.Context, req infer.CreateRequest[RemoteArgs],
) (infer.CreateResponse[RemoteState], error) {
	state := RemoteState{RemoteArgs: req.Inputs}
	id, err := newID(req.Name)
	if err == nil && !req.DryRun {
		state.Output, err = req.Inputs.onCreate(ctx, req.Inputs)
	}
	return infer.CreateResponse[RemoteState]{ID: id, Output: state}, err
}

func (Remote) Update(
	ctx context.Context, req infer.UpdateRequest[RemoteArgs, RemoteState],
) (infer.UpdateResponse[RemoteState], error) {
	state := RemoteState{RemoteArgs: req.Inputs, Output: req.State.Output}
	var err error
	if !req.DryRun {
		state.Output, err = req.Inputs.onUpdate(ctx, req.Inputs, req.State.Output)
	}
	return infer.UpdateResponse[RemoteState]{Output: state}, err
}

func (Remote) Delete(ctx context.Context, req infer.DeleteRequest[RemoteState]) (infer.DeleteResponse, error) {
	return infer.DeleteResponse{}, req.State.onDelete(ctx, req.State.RemoteArgs, req.State.Output)
}

func (Remote) WireDependencies(f infer.FieldSelector, args *RemoteArgs, state *RemoteState) {
	wireOutput(f, &args.Script, &state.Output)
}

func (r RemoteArgs) run(
	ctx context.Context, line string, environment map[string]string, stdin io.Reader, stdout, stderr io.Writer,
) error {
	client, err := r.Connection.dial(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return fmt.Errorf("opening a session on %s: %w", r.Connection.address(), err)
	}
	defer session.Close()
	for name, value := range environment {
		if err := session.Setenv(name, value); err != nil {
			return fmt.Errorf(
				"%s does not accept the environment variable %s (%w): add it to AcceptEnv of its sshd, set it in the "+
					"command itself, or set addPreviousOutputInEnv: false if it is one of the previous output",
				r.Connection.address(), name, err)
		}
	}
	session.Stdin, session.Stdout, session.Stderr = stdin, stdout, stderr
	err = session.Run(line)
	var ended *ssh.ExitError
	if errors.As(err, &ended) {
		return fmt.Errorf("the command failed on %s: %w", r.Connection.address(), err)
	}
	if err != nil {
		return fmt.Errorf("the connection to %s was lost while the command ran: %w", r.Connection.address(), err)
	}
	return nil
}
