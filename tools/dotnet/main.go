// Codegen writes the .NET SDK of a Pulumi package from its schema.json.
//
//	codegen -schema schema.json -version 0.1.0 -logo docs/logo.png -out sdk
//
// It is a module of its own because Pulumi's generator for .NET has since moved to the module of .NET's
// language host, which the Go module proxy doesn't have: v3.224.0 is the newest there that still has it.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi/pkg/v3/codegen/dotnet"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"

	"vmsnapshot/tools/sdkfiles"
)

func main() {
	schemaPath := flag.String("schema", "schema.json", "the schema to read")
	version := flag.String("version", "", "the version that the SDK gets")
	logo := flag.String("logo", "docs/logo.png", "the picture of the NuGet package")
	out := flag.String("out", "sdk", "the folder that gets the folder dotnet")
	flag.Parse()
	if err := run(*schemaPath, *version, *logo, filepath.Join(*out, "dotnet")); err != nil {
		fmt.Fprintln(os.Stderr, "codegen:", err)
		os.Exit(1)
	}
}

func run(schemaPath, version, logo, folder string) error {
	text, err := os.ReadFile(schemaPath)
	if err != nil {
		return err
	}
	var spec schema.PackageSpec
	if err := json.Unmarshal(text, &spec); err != nil {
		return err
	}
	spec.Version = version
	if spec.LogoURL, err = fileURL(logo); err != nil {
		return err
	}
	languages := map[string]schema.Language{"csharp": dotnet.Importer}
	pkg, err := schema.ImportSpec(spec, languages, schema.ValidationOptions{})
	if err != nil {
		return fmt.Errorf("%s: %w", schemaPath, err)
	}
	files, err := dotnet.GeneratePackage("vmsnapshot-codegen", pkg, nil, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", schemaPath, err)
	}
	if err := sdkfiles.ReplaceFolder(folder, files); err != nil {
		return err
	}
	fmt.Printf("%s: %d files\n", folder, len(files))
	return nil
}

// fileURL makes an address of a file that the generator can fetch: it fetches the logo by HTTP's client, and
// NuGet takes no SVG. The schema's own address is another computer's.
func fileURL(path string) (string, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(absolute); err != nil {
		return "", err
	}
	http.DefaultTransport.(*http.Transport).RegisterProtocol("file", http.NewFileTransport(http.Dir("/")))
	return "file://" + absolute, nil
}
