// Codegen writes the SDKs of a Pulumi package from its schema.json.
//
//	codegen -schema schema.json -version 0.1.0 -out sdk python [nodejs] [go]
//
// It stands in for `pulumi package gen-sdk`, which needs language hosts newer than those that can be
// built from the Go module proxy.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	gogen "github.com/pulumi/pulumi/pkg/v3/codegen/go"
	"github.com/pulumi/pulumi/pkg/v3/codegen/nodejs"
	"github.com/pulumi/pulumi/pkg/v3/codegen/python"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"

	"vmsnapshot/tools/sdkfiles"
)

const tool = "vmsnapshot-codegen"

// A generator gives the files of one language's SDK: path below the language's folder, and content.
type generator func(pkg *schema.Package) (map[string][]byte, error)

// noLoader would be asked for the packages that a schema depends on; ours depends on none.
var noLoader schema.ReferenceLoader

var languages = map[string]schema.Language{
	"go":     gogen.Importer,
	"nodejs": nodejs.Importer,
	"python": python.Importer,
}

var generators = map[string]generator{
	"go": func(pkg *schema.Package) (map[string][]byte, error) {
		return gogen.GeneratePackage(tool, pkg, nil)
	},
	"nodejs": func(pkg *schema.Package) (map[string][]byte, error) {
		return nodejs.GeneratePackage(tool, pkg, nil, nil, false, noLoader)
	},
	"python": func(pkg *schema.Package) (map[string][]byte, error) {
		return python.GeneratePackage(tool, pkg, nil, noLoader)
	},
}

func main() {
	schemaPath := flag.String("schema", "schema.json", "the schema to read")
	version := flag.String("version", "", "the version that the SDKs get")
	out := flag.String("out", "sdk", "the folder that gets one folder per language")
	flag.Parse()
	if err := run(*schemaPath, *version, *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "codegen:", err)
		os.Exit(1)
	}
}

func run(schemaPath, version, out string, wanted []string) error {
	if len(wanted) == 0 {
		return fmt.Errorf("name the languages wanted: python, nodejs, go")
	}
	for _, language := range wanted {
		if generators[language] == nil {
			return fmt.Errorf("unknown language %q: there are python, nodejs and go", language)
		}
	}
	text, err := os.ReadFile(schemaPath)
	if err != nil {
		return err
	}
	for _, language := range wanted {
		files, err := generate(text, version, generators[language])
		if err != nil {
			return fmt.Errorf("%s, %s: %w", schemaPath, language, err)
		}
		if err := sdkfiles.ReplaceFolder(filepath.Join(out, language), files); err != nil {
			return err
		}
		fmt.Printf("%s: %d files\n", filepath.Join(out, language), len(files))
	}
	return nil
}

// generate reads the schema anew for each language, because a generator may alter the package it gets.
func generate(text []byte, version string, generator generator) (map[string][]byte, error) {
	var spec schema.PackageSpec
	if err := json.Unmarshal(text, &spec); err != nil {
		return nil, err
	}
	spec.Version = version
	pkg, err := schema.ImportSpec(spec, languages, schema.NewNullLoader(), schema.ValidationOptions{})
	if err != nil {
		return nil, err
	}
	return generator(pkg)
}
