// Package sdkfiles writes the files of generated SDKs.
package sdkfiles

import (
	"os"
	"path/filepath"
	"slices"
)

// notOurs tells what lies among the sources and isn't generated: what the languages' tools leave there,
// and what Go locks the SDK's requirements with (written by go mod tidy).
func notOurs(name string) bool {
	switch name {
	case "__pycache__", "bin", "node_modules", "obj", "target", "go.mod", "go.sum":
		return true
	}
	return filepath.Ext(name) == ".egg-info"
}

// ReplaceFolder writes the files, and removes those that an earlier run wrote and that are no longer
// wanted.
func ReplaceFolder(folder string, files map[string][]byte) error {
	err := filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		switch {
		case os.IsNotExist(err):
			return filepath.SkipAll
		case err != nil:
			return err
		case notOurs(entry.Name()) && entry.IsDir():
			return filepath.SkipDir
		case notOurs(entry.Name()), entry.IsDir():
			return nil
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		if _, wanted := files[filepath.ToSlash(name)]; !wanted {
			return os.Remove(path)
		}
		return nil
	})
	if err != nil {
		return err
	}

	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		path := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return err
		}
	}
	return nil
}
