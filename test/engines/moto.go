package engines

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Moto starts a server that answers as Amazon S3 does, and keeps what it is given in memory: a kill loses all of it.
func Moto(t T) *Server {
	t.Helper()
	dir, port := install(t, "install-moto"), FreePort(t, "127.0.0.1")
	home, err := os.MkdirTemp("", "bijou-moto-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	address := "127.0.0.1:" + strconv.Itoa(port)
	return start(t, address, home, func() *exec.Cmd {
		cmd := exec.Command(filepath.Join(dir, "bin", "moto_server"), "-H", "127.0.0.1", "-p", strconv.Itoa(port))
		cmd.Dir = home
		cmd.Env = append(os.Environ(), "TMPDIR="+home)
		return cmd
	}, func() error { return request(http.MethodGet, "http://"+address+"/moto-api/", "") })
}

// Boto3 returns the Python that has the SDK of AWS, which comes with moto.
func Boto3(t T) string {
	t.Helper()
	return filepath.Join(install(t, "install-moto"), "bin", "python")
}

// Bucket makes a bucket at a server that lets everybody do so, and returns the address of S3 that leads to it.
func Bucket(t T, server, name string) string {
	t.Helper()
	if err := request(http.MethodPut, server+"/"+name, ""); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("s3://key:secret@%s/?region=us-east-1&endpoint=%s", name, server)
}

// PutObject puts an object there.
func PutObject(t T, server, bucket, key, content string) {
	t.Helper()
	if err := request(http.MethodPut, server+"/"+bucket+"/"+key, content); err != nil {
		t.Fatal(err)
	}
}

func request(method, address, content string) error {
	req, err := http.NewRequest(method, address, strings.NewReader(content))
	if err != nil {
		return err
	}
	// It looks who asks, and not whether the signature is right.
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=key/20300101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=none")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: status %s", method, address, res.Status)
	}
	return nil
}
