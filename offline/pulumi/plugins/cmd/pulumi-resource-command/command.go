package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// Script holds the properties that local and remote commands share: what to run when, and how.
type Script struct {
	Create                 *string           `pulumi:"create,optional"`
	Update                 *string           `pulumi:"update,optional"`
	Delete                 *string           `pulumi:"delete,optional"`
	Stdin                  *string           `pulumi:"stdin,optional"`
	Environment            map[string]string `pulumi:"environment,optional"`
	Logging                *string           `pulumi:"logging,optional"`
	Triggers               []any             `pulumi:"triggers,optional"`
	AddPreviousOutputInEnv *bool             `pulumi:"addPreviousOutputInEnv,optional"`
}

// Output is the output of the last command, without the final line feed.
type Output struct {
	Stdout string `pulumi:"stdout"`
	Stderr string `pulumi:"stderr"`
}

// runner runs a command line in a shell. It returns an error if the command failed.
type runner interface {
	run(ctx context.Context, line string, environment map[string]string, stdin io.Reader, stdout, stderr io.Writer) error
}

func (s Script) onCreate(ctx context.Context, with runner) (Output, error) {
	return s.perform(ctx, with, s.Create, Output{}, nil)
}

// onUpdate runs `update`, or `create` if there is none. Without either, the earlier output is kept.
func (s Script) onUpdate(ctx context.Context, with runner, before Output) (Output, error) {
	line := s.Update
	if line == nil || *line == "" {
		line = s.Create
	}
	return s.perform(ctx, with, line, before, s.previous(before))
}

func (s Script) onDelete(ctx context.Context, with runner, before Output) error {
	_, err := s.perform(ctx, with, s.Delete, before, s.previous(before))
	return err
}

func (s Script) previous(output Output) map[string]string {
	if s.AddPreviousOutputInEnv != nil && !*s.AddPreviousOutputInEnv {
		return nil
	}
	return map[string]string{"PULUMI_COMMAND_STDOUT": output.Stdout, "PULUMI_COMMAND_STDERR": output.Stderr}
}

func (s Script) perform(
	ctx context.Context, with runner, line *string, before Output, previous map[string]string,
) (Output, error) {
	if line == nil || *line == "" {
		return before, nil
	}
	log, err := newLog(ctx, s.Logging)
	if err != nil {
		return before, err
	}
	environment := maps.Clone(previous)
	if environment == nil {
		environment = map[string]string{}
	}
	maps.Copy(environment, s.Environment)
	var stdin io.Reader
	if s.Stdin != nil {
		stdin = strings.NewReader(*s.Stdin)
	}
	var stdout, stderr strings.Builder
	err = with.run(ctx, *line, environment, stdin, io.MultiWriter(&stdout, &log.stdout), io.MultiWriter(&stderr, &log.stderr))
	log.flush()
	if ctx.Err() != nil {
		err = errors.Join(errors.New("the command was interrupted"), ctx.Err())
	}
	if err != nil {
		return before, log.explain(err)
	}
	return Output{strings.TrimSuffix(stdout.String(), "\n"), strings.TrimSuffix(stderr.String(), "\n")}, nil
}

// wireOutput declares that the output depends on the commands and their inputs, and not on the connection, which is
// secret as a whole.
func wireOutput(f infer.FieldSelector, script *Script, output *Output) {
	told := []infer.InputField{
		f.InputField(&script.Create),
		f.InputField(&script.Update),
		f.InputField(&script.Stdin),
		f.InputField(&script.Environment),
		f.InputField(&script.Triggers),
	}
	f.OutputField(&output.Stdout).DependsOn(told...)
	f.OutputField(&output.Stderr).DependsOn(told...)
}

// newID makes an id for a resource that has none outside of the state.
func newID(name string) (string, error) {
	id, err := resource.NewUniqueHex(name+"-", 8, 0)
	if err != nil {
		return "", fmt.Errorf("naming the resource: %w", err)
	}
	return id, nil
}
