package ffmpeg

import "syscall"

// dieWithParent has the kernel kill a program when this process is killed, so that no half-dead encode goes on writing
// the file that the next one makes.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
