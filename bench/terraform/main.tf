# A hundred machines in three zones for Terraform: the same that aws.yaml asks `platform` for.
#
# It is written to need few calls: rules are inside their groups, because separate resources would
# take a call each; and the disks' tags are inside the disks, because `volume_tags` takes one more
# call for each machine when it is made, and two more at each plan. What `platform` does in addition
# is left out: tags of interfaces, addresses that are known before, and SSH host keys.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}

variable "public_key" {
  description = "The public key that may log in."
  type        = string
}

locals {
  cluster     = "bench"
  cidr        = "10.42.0.0/16"
  admin_cidrs = ["203.0.113.7/32"]
  edge_ports  = [443, 8443, 5443, 4443, 5000]
  zones       = slice(data.aws_availability_zones.all.names, 0, 3)
}

# The region and the credentials come from the environment.
provider "aws" {
  default_tags {
    tags = { "platform:cluster" = local.cluster }
  }
}

data "aws_availability_zones" "all" {
  state = "available"
}

data "aws_ami" "debian" {
  most_recent = true
  owners      = ["136693071363"]

  filter {
    name   = "name"
    values = ["debian-12-amd64-*"]
  }
}

resource "aws_vpc" "all" {
  cidr_block = local.cidr
  tags       = { Name = local.cluster }
}

resource "aws_subnet" "zone" {
  count             = length(local.zones)
  vpc_id            = aws_vpc.all.id
  availability_zone = local.zones[count.index]
  cidr_block        = cidrsubnet(local.cidr, 3, count.index)
  tags              = { Name = "${local.cluster}-${local.zones[count.index]}" }
}

resource "aws_internet_gateway" "all" {
  vpc_id = aws_vpc.all.id
  tags   = { Name = local.cluster }
}

resource "aws_route" "elsewhere" {
  route_table_id         = aws_vpc.all.main_route_table_id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.all.id
}

resource "aws_key_pair" "all" {
  key_name   = "platform-${local.cluster}"
  public_key = var.public_key
  tags       = { Name = local.cluster }
}

# For all machines: accepts everything from each other, and SSH from outside.
resource "aws_security_group" "all" {
  name        = "platform-${local.cluster}"
  description = "Cluster ${local.cluster} of platform"
  vpc_id      = aws_vpc.all.id
  tags        = { Name = local.cluster }

  ingress {
    protocol  = "-1"
    from_port = 0
    to_port   = 0
    self      = true
  }

  ingress {
    protocol    = "tcp"
    from_port   = 22
    to_port     = 22
    cidr_blocks = local.admin_cidrs
  }

  egress {
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    cidr_blocks = ["0.0.0.0/0"]
  }
}

# For machines of the edge: accepts its ports from outside.
resource "aws_security_group" "edge" {
  name        = "platform-${local.cluster}-edge"
  description = "Cluster ${local.cluster} of platform"
  vpc_id      = aws_vpc.all.id
  tags        = { Name = local.cluster }

  dynamic "ingress" {
    for_each = local.edge_ports
    content {
      protocol    = "tcp"
      from_port   = ingress.value
      to_port     = ingress.value
      cidr_blocks = local.admin_cidrs
    }
  }

  egress {
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_instance" "control" {
  count                       = 3
  ami                         = data.aws_ami.debian.id
  instance_type               = "m7i.large"
  subnet_id                   = aws_subnet.zone[count.index % 3].id
  vpc_security_group_ids      = [aws_security_group.all.id]
  key_name                    = aws_key_pair.all.key_name
  associate_public_ip_address = true

  root_block_device {
    volume_type = "gp3"
    volume_size = 50
    encrypted   = true

    tags = {
      Name             = "${local.cluster}-control-${count.index + 1}"
      "platform:group" = "control"
    }
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  tags = {
    Name             = "${local.cluster}-control-${count.index + 1}"
    "platform:group" = "control"
    "platform:node"  = "control-${count.index + 1}"
  }
}

resource "aws_instance" "edge" {
  count                       = 2
  ami                         = data.aws_ami.debian.id
  instance_type               = "t3.medium"
  subnet_id                   = aws_subnet.zone[count.index % 3].id
  vpc_security_group_ids      = [aws_security_group.all.id, aws_security_group.edge.id]
  key_name                    = aws_key_pair.all.key_name
  associate_public_ip_address = true

  root_block_device {
    volume_type = "gp3"
    volume_size = 50
    encrypted   = true

    tags = {
      Name             = "${local.cluster}-edge-${count.index + 1}"
      "platform:group" = "edge"
    }
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  tags = {
    Name             = "${local.cluster}-edge-${count.index + 1}"
    "platform:group" = "edge"
    "platform:node"  = "edge-${count.index + 1}"
  }
}

resource "aws_instance" "workers" {
  count                       = 95
  ami                         = data.aws_ami.debian.id
  instance_type               = "m7i.xlarge"
  subnet_id                   = aws_subnet.zone[count.index % 3].id
  vpc_security_group_ids      = [aws_security_group.all.id]
  key_name                    = aws_key_pair.all.key_name
  associate_public_ip_address = true

  root_block_device {
    volume_type = "gp3"
    volume_size = 50
    encrypted   = true

    tags = {
      Name             = "${local.cluster}-workers"
      "platform:group" = "workers"
    }
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  tags = {
    Name             = "${local.cluster}-workers"
    "platform:group" = "workers"
  }
}
