# Each recipe is a plain command, so that it can be typed where `just` is missing.

# what CI runs
check: fmt clippy doc generated test

fmt:
    cargo fmt --all --check

clippy:
    cargo clippy --workspace --all-targets --locked -- -D warnings

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked --document-private-items

# generated files are what the program prints
generated:
    cargo test --locked --test it generated::

test:
    cargo test --locked

# the scenarios on a real API server, which needs Go
test-cluster:
    .ci/cluster

# writes the generated files anew
generate:
    for kind in job execution trigger; do cargo run -q --locked -- crd $kind > charts/kakehi/crds/$kind.yaml; done

bench:
    cargo bench --locked

# looks for inputs that break a property, so many seconds for each target (or for those that are named)
fuzz seconds="60" *targets:
    tests/fuzz/run {{seconds}} {{targets}}
