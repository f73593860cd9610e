package appliance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"bijou"
)

// identity is what stays of an appliance over its restarts.
type identity struct {
	ID      bijou.ApplianceID `json:"id"`
	Port    int               `json:"port"` // that it listened at last
	started time.Time
}

const identityFile = "identity.json"

// loadIdentity reads the identity from the appliance's directory, and makes one on first use.
func loadIdentity(dir string) (identity, error) {
	id := identity{started: time.Now().UTC()}
	b, err := os.ReadFile(filepath.Join(dir, identityFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		id.ID = bijou.NewID[bijou.ApplianceID](bijou.AppliancePrefix)
		return id, nil
	case err == nil:
		err = json.Unmarshal(b, &id)
	}
	if err == nil {
		err = bijou.CheckID(id.ID, bijou.AppliancePrefix)
	}
	if err != nil {
		return id, fmt.Errorf("identity in %s cannot be read (%v): remove the file, and the appliance gets a new one: %w", filepath.Join(dir, identityFile), err, bijou.Corrupt)
	}
	return id, nil
}

// Identify returns the identifier of the appliance whose directory it is, and gives it one on first use.
func Identify(dir string) (bijou.ApplianceID, error) {
	id, err := loadIdentity(dir)
	if err != nil {
		return "", err
	}
	return id.ID, id.save(dir)
}

func (id identity) save(dir string) error {
	b, err := json.Marshal(id)
	if err != nil {
		return err
	}
	if err := writeWhole(filepath.Join(dir, identityFile), append(b, '\n')); err != nil {
		return fmt.Errorf("identity of the appliance cannot be written in %s (%v): give this user the right to write there: %w", dir, err, bijou.Unavailable)
	}
	return nil
}

// writeWhole makes the file appear whole or not at all.
func writeWhole(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the rename, when there is nothing left to remove
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
