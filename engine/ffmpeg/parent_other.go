//go:build !linux

package ffmpeg

import "syscall"

// dieWithParent is known to Linux alone: elsewhere a program outlives a killed service until its work is done.
func dieWithParent() *syscall.SysProcAttr { return nil }
