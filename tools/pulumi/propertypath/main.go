// Propertypath parses property paths with the engine's own parser, for tests of the provider's.
//
// Standard input has one path a line, each a JSON string. For each, standard output gets a line: the path's
// elements as a JSON array (map keys are strings, list indices are numbers), or null if the engine refuses it.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "propertypath:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	paths := json.NewDecoder(bufio.NewReader(in))
	for {
		var text string
		if err := paths.Decode(&text); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		elements := []any{}
		parsed, err := resource.ParsePropertyPath(text)
		if err != nil {
			elements = nil
		} else {
			elements = append(elements, parsed...)
		}
		if err := json.NewEncoder(out).Encode(elements); err != nil {
			return err
		}
	}
}
