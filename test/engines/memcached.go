package engines

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
)

// Memcached starts a memcached at a free port of this machine, with more arguments where they are given. It keeps nothing over a restart.
func Memcached(t T, args ...string) *Server {
	t.Helper()
	program := install(t, "install-memcached")
	dir, err := os.MkdirTemp("", "memcached-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // what is left is in the folder for such things
	port := FreePort(t, "127.0.0.1")
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	all := append([]string{"-l", "127.0.0.1", "-p", fmt.Sprint(port), "-U", "0", "-m", "64"}, args...)
	if os.Geteuid() == 0 {
		all = append(all, "-u", "root") // it refuses to run as root unless told
	}
	return start(t, address, dir, func() *exec.Cmd { return exec.Command(program, all...) }, func() error { return answers(address) })
}
