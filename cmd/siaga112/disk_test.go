package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fullDisk runs a gateway whose data folder is a file system of its own, of 1 MB, in a namespace that ends with it. A line
// on its standard input fills it, the next frees it, the next stops the gateway and verifies.
const fullDisk = `
mount -t tmpfs -o size=1m tmpfs "$1" || exit 77
"$2" -c "$3" serve & gateway=$!
read line; dd if=/dev/zero of="$1/fill" bs=1k 2>/dev/null; echo disk filled
read line; rm "$1/fill"; echo disk freed
read line; kill -TERM $gateway; wait $gateway && "$2" -c "$3" cdr verify
`

// A full disk raises an alarm and costs nobody a call; when there is room again, every record is written.
func TestFullDisk(t *testing.T) {
	program, file, data := build(t), filepath.Join(t.TempDir(), "siaga112.yaml"), t.TempDir()
	namespace := []string{"--mount"}
	if os.Getuid() != 0 {
		namespace = append(namespace, "--user", "--map-root-user")
	}
	tool(t, "unshare", "util-linux")
	if err := exec.Command("unshare", append(namespace, "true")...).Run(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no namespaces here: %v", err)
		}
		t.Skipf("no namespaces here: %v", err)
	}
	addr := fmt.Sprintf("%s:%d", gatewayIP, freePort(t, gatewayIP))
	write(t, file, fmt.Appendf(nil, `
data: %s
sip: {listen: ["udp:%s"]}
trunks: [{name: telkom, from: ["%s/32"], numbers: ["112"]}]
`, data, addr, trunkIP))
	cmd := exec.Command("unshare", append(namespace, "sh", "-c", fullDisk, "sh", data, program, file)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	gateway := start(t, cmd)
	says := func(what string) {
		t.Helper()
		eventually(t, what, func() bool { return strings.Contains(gateway.out.String(), what) })
	}
	next := func() {
		t.Helper()
		if _, err := io.WriteString(in, "next\n"); err != nil {
			t.Fatal(err)
		}
	}
	says("serving")
	next()
	says("disk filled")
	sipp(t, addr, "hangs_up", "+628115550007", "-m", "60", "-r", "10", "-d", "300").wait(t, 60*time.Second)
	says("records cannot be written")
	next()
	says("disk freed")
	says("cleared: store")
	next()
	gateway.wait(t, 20*time.Second)
	if out := gateway.out.String(); !strings.Contains(out, "ledger: 60 arrived, 60 ended, 0 live, verified") {
		t.Error(tail(out, 500))
	}
}
