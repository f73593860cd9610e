// Command bijou is the whole streaming service, and the operator's tool for it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"bijou"
	"bijou/app"
	"bijou/kit/conf"

	"github.com/alecthomas/kong"
)

// cli is every command and flag.
type cli struct {
	Config  string   `help:"Configuration file (YAML)." placeholder:"FILE" env:"BIJOU_CONFIG"`
	DataDir string   `help:"Directory that holds everything the service keeps." placeholder:"DIR"`
	Set     []string `help:"Set a configuration key, such as studio.workers=2. May be repeated." placeholder:"KEY=VALUE" sep:"none"`
	Output  string   `help:"How results are printed: text or json." enum:"text,json" default:"text"`

	ShowVersion kong.VersionFlag `name:"version" help:"Say which version this is."`

	Up        upCmd        `cmd:"" help:"Run the whole service in this process."`
	Run       runCmd       `cmd:"" help:"Run one role of the service, beside a service elsewhere or by itself."`
	Title     titleCmd     `cmd:"" help:"Add, list, show, edit and remove titles."`
	Account   accountCmd   `cmd:"" help:"List, add, reset and remove members' accounts."`
	Appliance applianceCmd `cmd:"" help:"List, drain, pause and drop appliances."`
	Pulse     pulseCmd     `cmd:"" help:"Show how viewers fare: starts, failures, first pictures, stalls, rates."`
	Why       whyCmd       `cmd:"" help:"Say why a viewing was sent to the appliances that it was sent to."`
	Token     tokenCmd     `cmd:"" help:"Let machines join."`
	Grant     grantCmd     `cmd:"" help:"Revoke grants, rotate and print keys."`
	User      userCmd      `cmd:"" help:"Who runs the service: add, list and remove people, their roles and tokens."`
	Audit     auditCmd     `cmd:"" help:"What operators did: list it, and check that nothing was altered."`
	Backup    backupCmd    `cmd:"" help:"Write the whole site into one file, also while it runs."`
	Verify    verifyCmd    `cmd:"" help:"Prove a backup: restore it aside, open every store and read all of it."`
	Restore   restoreCmd   `cmd:"" help:"Make a new data directory of a backup."`
	Conf      confCmd      `cmd:"" name:"config" help:"Show and check the configuration."`
	Doctor    doctorCmd    `cmd:"" help:"Check this machine and the data directory; each finding names its fix."`
	Version   versionCmd   `cmd:"" help:"Say which version this is."`
}

// session is what a command works with.
type session struct {
	cli      *cli
	ctx      context.Context
	out, err io.Writer
	env      []string
	command  string // last word of the command, such as drain
}

// config reads the configuration: flags of a command come last.
func (s *session) config(flags ...string) (app.Config, conf.Origins, error) {
	sets := append([]string{}, s.cli.Set...)
	if s.cli.DataDir != "" {
		sets = append(sets, "data_dir="+s.cli.DataDir)
	}
	var env []string
	for _, e := range s.env {
		if !strings.HasPrefix(e, "BIJOU_CONFIG=") { // names the file itself and is no key
			env = append(env, e)
		}
	}
	return app.LoadConfig(s.cli.Config, env, append(sets, flags...))
}

func main() { os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr)) }

// run does what the arguments say and returns the exit status: 0, 1 for a failure, 2 for a command that is not understood.
func run(args, env []string, out, errOut io.Writer) int {
	var c cli
	exit := -1
	parser, err := kong.New(&c, kong.Name("bijou"), kong.Writers(out, errOut), kong.Exit(func(code int) { exit = code }),
		kong.Description("A streaming service you run yourself. Begin with: bijou up"), kong.UsageOnError(), kong.Vars{"version": versionLine(build())},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}))
	if err != nil {
		fmt.Fprintln(errOut, "bijou:", err)
		return 2
	}
	switch {
	case len(args) == 0:
		args = []string{"--help"}
	case args[0] == "help": // bijou help title add
		args = append(slices.Clone(args[1:]), "--help")
	}
	parsed, err := parser.Parse(args)
	if exit >= 0 { // help was printed
		return exit
	}
	if err != nil {
		fmt.Fprintf(errOut, "bijou: %v: type bijou --help\n", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	err = parsed.Run(&session{cli: &c, ctx: ctx, out: out, err: errOut, env: env, command: parsed.Selected().Name})
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errSaid):
	default:
		fmt.Fprintln(errOut, "bijou:", oneLine(bijou.Sentence(err)))
	}
	return 1
}

// errSaid is a failure that the command has told of already.
var errSaid = errors.New("already said")

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

type versionCmd struct{}

func (versionCmd) Run(s *session) error {
	b := build()
	return s.print(b, func() error {
		_, err := fmt.Fprintln(s.out, versionLine(b))
		return err
	})
}

func versionLine(b app.Build) string { return fmt.Sprintf("bijou %s (commit %s)", b.Version, b.Commit) }

// build returns what the Go toolchain noted of the source.
func build() app.Build {
	b := app.Build{Version: "devel", Commit: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Commit = s.Value
		}
	}
	return b
}
