package engines

import (
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	_ "github.com/go-sql-driver/mysql" // the driver that makes databases
)

// The user of the test servers. The password has what an address must escape.
const (
	mysqlUser     = "bijou"
	mysqlPassword = "p@ss/w:rd?"
	mysqlEscaped  = "p%40ss%2Fw%3Ard%3F"
)

// MySQL starts MySQL 8.
func MySQL(t T) *Server {
	t.Helper()
	home := install(t, "install-mysql")
	dir := tempDir(t, "mysql")
	command := func(more ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(home, "bin", "mysqld"), append([]string{"--no-defaults", "--user=root", "--basedir=" + home, "--datadir=" + filepath.Join(dir, "data")}, more...)...)
		cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+filepath.Join(home, "lib", "private"))
		return cmd
	}
	setUp(t, command("--initialize-insecure", "--init-file="+userFile(t, dir)))
	return startMySQL(t, dir, func(port int) *exec.Cmd {
		// Tables without a file of their own find the disk full soon.
		return command(append(mysqlSettings(dir, port), "--mysqlx=OFF", "--performance-schema=OFF", "--innodb-data-file-path=ibdata1:12M:autoextend:max:80M")...)
	})
}

// MariaDB starts MariaDB.
func MariaDB(t T) *Server {
	t.Helper()
	install(t, "install-mariadb")
	dir := tempDir(t, "mariadb")
	data := "--datadir=" + filepath.Join(dir, "data")
	setUp(t, exec.Command("mariadb-install-db", "--no-defaults", "--user=root", data, "--auth-root-authentication-method=normal", "--skip-test-db"))
	init := userFile(t, dir)
	return startMySQL(t, dir, func(port int) *exec.Cmd {
		// The binary log as MySQL has it as it comes: without it, what others read of a change may be gone after a crash.
		return exec.Command("mariadbd", append([]string{"--no-defaults", "--user=root", data, "--init-file=" + init, "--log-bin=binlog", "--sync-binlog=1"}, mysqlSettings(dir, port)...)...)
	})
}

func mysqlSettings(dir string, port int) []string {
	return []string{
		"--bind-address=127.0.0.1", "--port=" + strconv.Itoa(port), "--socket=" + filepath.Join(dir, "s"), "--pid-file=" + filepath.Join(dir, "pid"),
		"--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M", "--skip-name-resolve",
	}
}

// tempDir makes a directory that goes when the test ends. Its path is short: the server's socket lies in it.
func tempDir(t T, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // what stays is in the system's own folder for such
	return dir
}

// userFile writes the statements that make the user, one a line.
func userFile(t T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "user.sql")
	text := fmt.Sprintf("CREATE USER IF NOT EXISTS %[1]s@'127.0.0.1' IDENTIFIED BY '%[2]s';\nGRANT ALL ON *.* TO %[1]s@'127.0.0.1' WITH GRANT OPTION;\n", mysqlUser, mysqlPassword)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func setUp(t T, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", cmd.Path, err, out)
	}
}

func startMySQL(t T, dir string, command func(port int) *exec.Cmd) *Server {
	t.Helper()
	port := FreePort(t, "127.0.0.1")
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	return start(t, address, dir, func() *exec.Cmd { return command(port) }, func() error {
		return mysqlExec(address, "DO 0")
	})
}

// mysqlExec has the server do something that has no result.
func mysqlExec(address, query string) error {
	db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s)/?timeout=1s&readTimeout=20s", mysqlUser, mysqlPassword, address))
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec(query)
	return err
}

// MySQLDatabase makes an empty database on the server, and returns its address. Via is where the server is reached; s.Address where it is empty.
func MySQLDatabase(t T, s *Server, name, via string) string {
	t.Helper()
	if err := mysqlExec(s.Address, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("create database %s: %v", name, err)
	}
	if via == "" {
		via = s.Address
	}
	return fmt.Sprintf("mysql://%s:%s@%s/%s", mysqlUser, mysqlEscaped, via, name)
}

// MySQLDump writes a database to the file, by the command that docs/engines/mysql.md names.
func MySQLDump(t T, s *Server, database, file string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := mysqlClient(t, s, "mysqldump", "--single-transaction", "--no-tablespaces", "--set-gtid-purged=OFF", database)
	cmd.Stdout = f
	runClient(t, cmd)
}

// MySQLRestore puts what a file holds into a database that is empty.
func MySQLRestore(t T, s *Server, database, file string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := mysqlClient(t, s, "mysql", database)
	cmd.Stdin = f
	runClient(t, cmd)
}

func mysqlClient(t T, s *Server, program string, args ...string) *exec.Cmd {
	t.Helper()
	home := install(t, "install-mysql")
	host, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(home, "bin", program), append([]string{"--no-defaults", "--protocol=tcp", "--host=" + host, "--port=" + port, "--user=" + mysqlUser}, args...)...)
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+filepath.Join(home, "lib", "private"), "MYSQL_PWD="+mysqlPassword)
	return cmd
}

func runClient(t T, cmd *exec.Cmd) {
	t.Helper()
	var says strings.Builder
	cmd.Stderr = &says
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v: %s", cmd.Path, err, says.String())
	}
}
