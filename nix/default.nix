# From the plan and the hashes to attributes that Nix can build with.
#
#   let artifacts = import ./nix { inherit (pkgs) requireFile; } {
#     plan = builtins.fromJSON (builtins.readFile ./plan.json);      # isar-build-all plan --format json
#     matrix = builtins.fromTOML (builtins.readFile ./variants.toml);
#     hashes = import ./artifact-hashes.nix;
#   }; in artifacts.qemuamd64.server.static."server-1".wic
#
# Each attribute is a `requireFile` of the artifact's unique name and hash: its value is exactly the registered
# file, or an error with the command that builds it. The expansion of the matrix is not repeated here; it comes
# from the plan.
{ requireFile }:
{ plan, matrix, hashes }:

let
  # { a.b.c = value; } from [ "a" "b" "c" ] and value.
  atPath = path: value:
    if path == [ ] then value
    else { ${builtins.head path} = atPath (builtins.tail path) value; };

  # Merges sets at every depth. Two values never have the same attribute path, because the plan has refused that.
  merge = left: right:
    left // builtins.mapAttrs
      (name: value:
        if left ? ${name} && builtins.isAttrs left.${name} && builtins.isAttrs value
          && !(value ? outPath) && !(left.${name} ? outPath)
        then merge left.${name} value
        else value)
      right;

  # The attribute of an artifact type: the machine's own, else the type's, else the type's name.
  attrOf = machine: type:
    let
      own = builtins.filter (entry: builtins.isAttrs entry && entry.type == type && entry ? attr)
        matrix.machines.${machine}.artifacts;
    in
    if own != [ ] then (builtins.head own).attr
    else matrix.artifacts.${type}.attr or type;

  fileOf = variant: artifact:
    requireFile {
      name = artifact.unique_name;
      sha256 = hashes.${artifact.unique_name} or (throw ''
        No hash of ${artifact.unique_name} is known.
        Build and register it: isar-build-all --variant ${variant.machine}/${variant.id}'');
      message = ''
        ${artifact.unique_name} is not in the Nix store.
        Build and register it: isar-build-all --variant ${variant.machine}/${variant.id}
      '';
    };

  # An optional artifact that was never registered has no attribute.
  registered = artifact: !artifact.optional || hashes ? ${artifact.unique_name};

  ofVariant = variant:
    map
      (artifact: atPath (variant.attr_path ++ [ (attrOf variant.machine artifact.type) ])
        (fileOf variant artifact))
      (builtins.filter registered variant.artifacts);
in
builtins.foldl' merge { } (builtins.concatLists (map ofVariant plan.variants))
