package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	"github.com/pulumi/pulumi/sdk/v3/go/common/version"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// errorAlreadyShown is the exit code of pulumi-language-python-exec when it has printed the error itself.
const errorAlreadyShown = 32

// languageHost implements pulumirpc.LanguageRuntime for programs and policy packs. The other calls of
// that service, for generating code and packing packages, return "unimplemented".
type languageHost struct {
	pulumirpc.UnimplementedLanguageRuntimeServer

	lifetime       context.Context // ends with a signal, or with the engine
	programs       context.Context // ends with the lifetime, or when the engine cancels its work
	cancelPrograms context.CancelFunc
	engineAddress  string
	executor       string // path of pulumi-language-python-exec
}

// whileBoth returns a context that ends when either of the two ends.
func whileBoth(one, other context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(one)
	release := context.AfterFunc(other, cancel)
	return ctx, func() { release(); cancel() }
}

func (h *languageHost) Handshake(
	context.Context, *pulumirpc.LanguageHandshakeRequest,
) (*pulumirpc.LanguageHandshakeResponse, error) {
	return &pulumirpc.LanguageHandshakeResponse{}, nil
}

func (h *languageHost) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: version.Version}, nil
}

// GetRequiredPackages returns none: the plugins are installed, and the engine loads each with its first resource.
func (h *languageHost) GetRequiredPackages(
	context.Context, *pulumirpc.GetRequiredPackagesRequest,
) (*pulumirpc.GetRequiredPackagesResponse, error) {
	return &pulumirpc.GetRequiredPackagesResponse{}, nil
}

func (h *languageHost) RuntimeOptionsPrompts(
	context.Context, *pulumirpc.RuntimeOptionsRequest,
) (*pulumirpc.RuntimeOptionsResponse, error) {
	return &pulumirpc.RuntimeOptionsResponse{}, nil
}

// Cancel ends the program. The policy packs keep running: the engine still sends them the resources in progress.
func (h *languageHost) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	h.cancelPrograms()
	return &emptypb.Empty{}, nil
}

func (h *languageHost) About(
	ctx context.Context, request *pulumirpc.AboutRequest,
) (*pulumirpc.AboutResponse, error) {
	python, err := interpreterFor(request.GetInfo())
	if err != nil {
		return nil, err
	}
	output, err := python.command(ctx, "-c", "import platform; print(platform.python_version())").Output()
	if err != nil {
		return nil, fmt.Errorf("asking %s for its version: %w", python.executable, err)
	}
	return &pulumirpc.AboutResponse{Executable: python.executable, Version: strings.TrimSpace(string(output))}, nil
}

func (h *languageHost) GetProgramDependencies(
	ctx context.Context, request *pulumirpc.GetProgramDependenciesRequest,
) (*pulumirpc.GetProgramDependenciesResponse, error) {
	python, err := interpreterFor(request.GetInfo())
	if err != nil {
		return nil, err
	}
	list := []string{"-m", "pip", "list", "--format", "json"}
	if !request.GetTransitiveDependencies() {
		list = append(list, "--not-required")
	}
	output, err := python.command(ctx, list...).Output()
	if err != nil {
		return nil, fmt.Errorf("listing the packages of %s: %w", python.executable, err)
	}
	response := &pulumirpc.GetProgramDependenciesResponse{}
	if err := json.Unmarshal(output, &response.Dependencies); err != nil {
		return nil, fmt.Errorf("reading pip's list of packages: %w", err)
	}
	return response, nil
}

// InstallDependencies installs the project's requirements.txt, if it has one, into its existing virtual environment.
func (h *languageHost) InstallDependencies(
	request *pulumirpc.InstallDependenciesRequest, stream pulumirpc.LanguageRuntime_InstallDependenciesServer,
) error {
	requirements := filepath.Join(request.GetInfo().GetRootDirectory(), "requirements.txt")
	if _, err := os.Stat(requirements); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	python, err := interpreterFor(request.GetInfo())
	if err != nil {
		return err
	}
	closer, stdout, stderr, err := rpcutil.MakeInstallDependenciesStreams(stream, request.GetIsTerminal())
	if err != nil {
		return err
	}
	defer closer.Close()
	ctx, release := whileBoth(stream.Context(), h.lifetime)
	defer release()
	install := python.command(ctx, "-m", "pip", "install", "--requirement", requirements)
	install.Stdout, install.Stderr = stdout, stderr
	if err := install.Run(); err != nil {
		return fmt.Errorf("installing %s: %w", requirements, err)
	}
	return closer.Close()
}

// Run runs the program once, for a preview or an update, and returns when it has ended.
func (h *languageHost) Run(ctx context.Context, request *pulumirpc.RunRequest) (*pulumirpc.RunResponse, error) {
	python, err := interpreterFor(request.GetInfo())
	if err != nil {
		return nil, err
	}
	environment, err := configuration(request)
	if err != nil {
		return nil, err
	}
	ctx, release := whileBoth(ctx, h.programs)
	defer release()
	program := python.command(ctx, append([]string{"-u", h.executor}, h.programArguments(request)...)...)
	program.Env = append(program.Env, environment...)
	program.Stdout, program.Stderr = os.Stdout, os.Stderr
	return outcome(ctx, program.Run()), nil
}

// outcome returns how the program ended. If it was told to stop or has printed its error, there is nothing to add.
func outcome(ctx context.Context, err error) *pulumirpc.RunResponse {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return &pulumirpc.RunResponse{}
	case ctx.Err() != nil, errors.As(err, &exit) && exit.ExitCode() == errorAlreadyShown:
		return &pulumirpc.RunResponse{Bail: true}
	default:
		return &pulumirpc.RunResponse{Error: fmt.Sprintf("the Python program failed: %v", err)}
	}
}

// programArguments are the arguments of pulumi-language-python-exec, which is a part of the SDK.
func (h *languageHost) programArguments(request *pulumirpc.RunRequest) []string {
	arguments := []string{
		"--monitor", request.GetMonitorAddress(),
		"--engine", h.engineAddress,
		"--project", request.GetProject(),
		"--stack", request.GetStack(),
		"--organization", request.GetOrganization(),
		"--root_directory", request.GetInfo().GetRootDirectory(),
		"--pwd", request.GetPwd(),
		"--parallel", fmt.Sprint(request.GetParallel()),
	}
	if request.GetDryRun() {
		arguments = append(arguments, "--dry_run", "true")
	}
	return append(append(arguments, request.GetInfo().GetEntryPoint()), request.GetArgs()...)
}

// configuration returns the two environment variables from which the SDK reads the stack's config. The SDK takes no
// null: a stack without config has an empty object and an empty list.
func configuration(request *pulumirpc.RunRequest) ([]string, error) {
	config, secrets := request.GetConfig(), request.GetConfigSecretKeys()
	if config == nil {
		config = map[string]string{}
	}
	if secrets == nil {
		secrets = []string{}
	}
	values, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encoding the config: %w", err)
	}
	secretKeys, err := json.Marshal(secrets)
	if err != nil {
		return nil, fmt.Errorf("encoding the config's secret keys: %w", err)
	}
	return []string{"PULUMI_CONFIG=" + string(values), "PULUMI_CONFIG_SECRET_KEYS=" + string(secretKeys)}, nil
}

// RunPlugin runs a policy pack, whose own runtime options in PulumiPolicy.yaml name its virtual environment relative
// to the pack's folder. This project has no other kind of plugin in Python.
func (h *languageHost) RunPlugin(
	request *pulumirpc.RunPluginRequest, stream pulumirpc.LanguageRuntime_RunPluginServer,
) error {
	if request.GetKind() != "analyzer" {
		return status.Errorf(codes.Unimplemented, "this language host runs policy packs, not %q plugins", request.GetKind())
	}
	python, err := interpreterFor(request.GetInfo())
	if err != nil {
		return err
	}
	closer, stdout, stderr, err := rpcutil.MakeRunPluginStreams(stream, false)
	if err != nil {
		return err
	}
	defer closer.Close()
	ctx, release := whileBoth(stream.Context(), h.lifetime)
	defer release()

	arguments := append([]string{"-u", "-m", "pulumi.policy"}, request.GetArgs()...)
	pack := python.command(ctx, append(arguments, request.GetInfo().GetProgramDirectory())...)
	pack.Dir = request.GetPwd()
	pack.Env = append(request.GetEnv(), python.activation...)
	pack.Stdout, pack.Stderr = stdout, stderr

	err = pack.Run()
	var exit *exec.ExitError
	if err != nil && ctx.Err() == nil && !errors.As(err, &exit) {
		return fmt.Errorf("starting the policy pack in %s: %w", request.GetInfo().GetProgramDirectory(), err)
	}
	return stream.Send(&pulumirpc.RunPluginResponse{
		Output: &pulumirpc.RunPluginResponse_Exitcode{Exitcode: int32(pack.ProcessState.ExitCode())},
	})
}
