// Command siaga112 is a call-intake gateway for the emergency number 112: SIP trunks in, call takers' softphones out, and
// a record of each call that anyone can verify.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
)

// commands is the whole command line.
type commands struct {
	File string `name:"config" short:"c" default:"siaga112.yaml" type:"path" placeholder:"FILE" help:"The configuration (default ./siaga112.yaml)."`

	Serve   serveCommand   `cmd:"" help:"Run the gateway until SIGTERM or Ctrl-C."`
	Demo    demoCommand    `cmd:"" help:"Run the gateway on loopback with simulated callers and call takers."`
	Init    initCommand    `cmd:"" help:"Write a commented configuration that runs as it is."`
	Config  configCommand  `cmd:"" name:"config" help:"The configuration."`
	Taker   takerCommand   `cmd:"" help:"Call takers: add, list, remove, pause, ready."`
	CDR     cdrCommand     `cmd:"" name:"cdr" help:"Call detail records: list, show, classify, export, verify."`
	Backup  backupCommand  `cmd:"" help:"Write a verified backup into one file, while calls go on."`
	Restore restoreCommand `cmd:"" help:"Put a backup in the place of the database."`
	Store   storeCommand   `cmd:"" help:"The database: check, compact."`

	Version versionCommand `cmd:"" help:"Print the version."`
}

// terminal is what a command reads and writes. Its fields are the process's own, or a test's.
type terminal struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

func main() { os.Exit(command(os.Args[1:], terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr})) }

// command runs one command line and gives the exit status: 0, 1 for what failed, 2 for what was not understood.
func command(args []string, t terminal) int {
	// A closed terminal stops it in order, too; a closed pipe on its output is an error of the write and no reason to die.
	ctx, signals, cancel := listenToSignals(context.Background())
	defer cancel()
	signal.Ignore(syscall.SIGPIPE)
	var c commands
	status := -1
	parser, err := kong.New(&c,
		kong.Name("siaga112"),
		kong.Description("Call-intake gateway for the emergency number 112."),
		kong.Writers(t.out, t.err),
		kong.Exit(func(code int) { status = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(t, &c, signals))
	if err != nil { // the structs above are wrong: every run would fail
		panic(err)
	}
	k, err := parser.Parse(args)
	if status >= 0 { // --help has been printed
		return status
	}
	if err != nil {
		fmt.Fprintf(t.err, "siaga112: %v\nTry: siaga112 --help\n", err)
		return 2
	}
	if !portable(runtime.GOOS, k.Command()) {
		fmt.Fprintf(t.err, "siaga112: %v\n", errLinux)
		return 1
	}
	if err := k.Run(); err != nil {
		if !errors.Is(err, errSaid) {
			fmt.Fprintf(t.err, "siaga112: %v\n", err)
		}
		return 1
	}
	return 0
}

// errSaid fails a command that has already said why.
var errSaid = errors.New("said")

type versionCommand struct{}

// Run prints the module's version and the commit it was built from.
func (versionCommand) Run(t terminal) error {
	_, err := fmt.Fprintf(t.out, "siaga112 %s\n", programVersion())
	return err
}

// programVersion is the module's version and the commit it was built from, as far as they are known.
func programVersion() string {
	version, revision := "(devel)", ""
	if b, ok := debug.ReadBuildInfo(); ok {
		if b.Main.Version != "" {
			version = b.Main.Version
		}
		for _, s := range b.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value
			}
		}
	}
	return version + revision
}
