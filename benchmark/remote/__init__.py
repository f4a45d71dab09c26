"""Commands and files on all hosts over SSH; the only package that uses Fabric and paramiko."""
